"""Everything on one machine: servers, worker and the demo."""
