"""Small services that all other folders may use: files, folders, settings, validation, downloads."""
