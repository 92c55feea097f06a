"""Pulumi's engine and plugins, built from Go modules where no release page can be reached."""
