"""The web server of a study: `pixq study serve`."""
