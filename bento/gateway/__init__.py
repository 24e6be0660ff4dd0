"""What every request passes before BentoML or a route of ours sees it; and how the service lives and dies."""
