"""What a study asks: study.toml, its images, and the checks of both."""
