-- Labelled query-document pairs. Every migration can be applied again without harm.

create table if not exists public.labels (
    id bigint generated always as identity primary key, -- scans walk it upwards
    -- 128 bits of the SHA-256 of query, document, source and relevance: the row's name, as uuid because PostgreSQL
    -- stores and indexes it as 16 bytes
    key uuid not null unique,
    query text not null check (query <> ''),
    document text not null check (document <> ''),
    relevance smallint not null check (relevance in (0, 1)),
    source text not null check (source <> '' and char_length(source) <= 256),
    created_at timestamptz not null,
    grade smallint check (grade between 0 and 3),
    subject_id text collate "C" check (subject_id <> '' and char_length(subject_id) <= 256),
    -- the request that made the row; later requests that merge into it leave it, so each can count its new rows
    request_id uuid not null,
    updated_at timestamptz not null default now()
);

comment on table public.labels is 'Labelled query-document pairs; the newest label of a pair counts';
comment on column public.labels.grade is '0 to 3, where people graded; null elsewhere';
comment on column public.labels.subject_id is 'Whose text it is, for export and removal; null when nobody''s';

create index if not exists labels_created_at on public.labels (created_at);
create index if not exists labels_subject_id on public.labels (subject_id) where subject_id is not null;

-- An upsert writes every column. This makes it a merge that gives the same row in whatever order requests arrive and
-- however often: the newest created_at with its grade, the greater subject_id, the first request_id.
create or replace function public.merge_label() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.request_id := old.request_id;
    if (old.created_at, coalesce(old.grade, -1)) > (new.created_at, coalesce(new.grade, -1)) then
        new.created_at := old.created_at;
        new.grade := old.grade;
    end if;
    new.subject_id := greatest(old.subject_id, new.subject_id);
    new.updated_at := now();
    return new;
end
$$;

create or replace trigger merge_label before update on public.labels
    for each row execute function public.merge_label();
