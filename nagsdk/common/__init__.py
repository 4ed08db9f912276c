"""Small services that every other folder may use: files, folders, settings, validation, downloads."""
