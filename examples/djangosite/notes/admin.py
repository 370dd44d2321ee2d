from django.contrib import admin

from notes.models import Note

admin.site.site_header = admin.site.site_title = "Notes"


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ("title", "published")
    search_fields = ("title", "text")
    date_hierarchy = "published"
