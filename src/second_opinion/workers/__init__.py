"""The Celery side: application, settings, composition root, routing and thin tasks."""
