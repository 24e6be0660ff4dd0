-- The texts are people's own: only the service role reads and writes them. The keys that ship in browsers and apps
-- (roles anon and authenticated) see nothing, and a missing policy refuses.

alter table public.labels enable row level security;
alter table public.quarantine enable row level security;

revoke all on public.labels, public.quarantine from public, anon, authenticated;
grant select, insert, update, delete on public.labels, public.quarantine to service_role;

drop policy if exists "service role" on public.labels;
create policy "service role" on public.labels to service_role using (true) with check (true);

drop policy if exists "service role" on public.quarantine;
create policy "service role" on public.quarantine to service_role using (true) with check (true);
