"""Where things run: this machine, Supabase, the host."""
