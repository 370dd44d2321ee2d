from django.db.models import QuerySet
from django.utils import timezone
from django.views.generic import ListView

from notes.models import Note


class NoteList(ListView):
    paginate_by = 10

    def get_queryset(self) -> QuerySet[Note]:
        return Note.objects.filter(published__lte=timezone.now())
