"""What an experiment takes, before anything of it runs, and where a run of it stands."""
