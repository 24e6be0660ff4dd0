"""The loop: every module directly in here is a Prefect flow; the packages below hold the logic, without Prefect."""
