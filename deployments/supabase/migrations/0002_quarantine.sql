-- Rows that an import could not use, with the reason: nothing is dropped silently.

create table if not exists public.quarantine (
    id bigint generated always as identity primary key,
    -- 128 bits of the SHA-256 of origin, position, reason and raw: importing the same file again adds nothing
    key uuid not null unique,
    origin text not null,
    "position" bigint not null,
    reason text not null,
    raw text not null, -- JSON as text: jsonb refuses some of what stands in broken rows
    quarantined_at timestamptz not null default now()
);

comment on table public.quarantine is 'Rows that an import could not use';
comment on column public.quarantine.raw is 'The row as JSON; bytes that were no UTF-8 as lone surrogates \udc80 to \udcff';

create index if not exists quarantine_quarantined_at on public.quarantine (quarantined_at desc, origin, "position");
