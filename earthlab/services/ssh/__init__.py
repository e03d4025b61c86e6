"""One door for ssh: into the user's own server, as the user and nobody else."""
