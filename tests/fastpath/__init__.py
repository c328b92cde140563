"""Programs of log calls, run once on the standard library's path and once on the fast one, and what each left behind."""
