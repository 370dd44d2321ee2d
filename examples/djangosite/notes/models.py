from django.db import models
from django.utils import timezone


class Note(models.Model):
    title = models.CharField(max_length=120)
    text = models.TextField()
    published = models.DateTimeField(
        default=timezone.now, db_index=True, help_text="Shown to the public from then on."
    )

    class Meta:
        ordering = ("-published", "-id")

    def __str__(self) -> str:
        return self.title
