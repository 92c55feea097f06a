"""The Pulumi program's parts: the configuration model and the components it is turned into."""
