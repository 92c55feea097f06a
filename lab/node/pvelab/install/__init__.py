"""Unattended installation: the answer file's rules, and the assistant that prepares an ISO."""
