"""The job: writes one line and ends."""

from diary import write

if __name__ == "__main__":
    write("minute", "was here")
