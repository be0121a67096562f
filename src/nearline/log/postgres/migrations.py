"""Tables and functions of the log, and the steps from each version to the next.

An append is one statement, which calls one function: it locks the row of the head, leaves out known
event IDs, inserts the other records with dense offsets, moves the head and notifies. A client that
stops in the middle therefore never holds the lock, and an offset is visible only once all smaller
ones are. The number of an append makes a repetition after a lost connection return the first result
instead of appending twice.
"""

# Each step is executed once, in order, in one transaction. Steps are never changed, only added.
STEPS = (
    """
    CREATE TABLE head (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        log_id uuid NOT NULL DEFAULT gen_random_uuid(),
        secret bytea NOT NULL,
        next_place bigint NOT NULL DEFAULT 0,
        erasures bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 10);
    CREATE TABLE log (
        place bigint PRIMARY KEY,
        payload bytea NOT NULL,
        user_key bigint,
        event_key bytea,
        erased bigint
    );
    CREATE INDEX log_users ON log (user_key, place) WHERE user_key IS NOT NULL;
    CREATE UNIQUE INDEX log_events ON log (event_key) WHERE event_key IS NOT NULL;
    CREATE INDEX log_erased ON log (erased) WHERE erased IS NOT NULL;
    CREATE TABLE erasures (
        number bigint PRIMARY KEY,
        buried boolean NOT NULL DEFAULT false
    );
    CREATE TABLE servers (
        id uuid PRIMARY KEY,
        version text NOT NULL,
        kinds text[] NOT NULL,
        seen timestamptz NOT NULL DEFAULT clock_timestamp(),
        place bigint NOT NULL,
        erasures bigint NOT NULL,
        sequence bigint NOT NULL DEFAULT 0,
        first_place bigint NOT NULL DEFAULT 0,
        rejected integer[] NOT NULL DEFAULT '{}'
    ) WITH (fillfactor = 10);
    CREATE TABLE leases (
        name text PRIMARY KEY,
        holder uuid NOT NULL,
        epoch bigint NOT NULL,
        until timestamptz NOT NULL
    );

    CREATE FUNCTION append(
        p_server uuid, p_sequence bigint, p_payloads bytea[], p_users bigint[], p_events bytea[],
        p_keyed boolean, p_lease text, p_epoch bigint,
        OUT first_place bigint, OUT rejected integer[]
    ) LANGUAGE plpgsql AS $$
    DECLARE
        done record;
        kept bigint := cardinality(p_payloads);
    BEGIN
        SELECT h.next_place INTO first_place FROM head h FOR UPDATE;
        SELECT s.sequence, s.first_place, s.rejected INTO done
            FROM servers s WHERE s.id = p_server;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the server is not registered' USING ERRCODE = 'NL001';
        END IF;
        IF done.sequence >= p_sequence THEN
            first_place := done.first_place;
            rejected := done.rejected;
            RETURN;
        END IF;
        IF p_lease IS NOT NULL AND NOT EXISTS (
            SELECT FROM leases l WHERE l.name = p_lease AND l.epoch = p_epoch
        ) THEN
            RAISE EXCEPTION 'the lease % has another epoch', p_lease USING ERRCODE = 'NL002';
        END IF;
        rejected := '{}';
        IF p_keyed THEN
            SELECT coalesce(array_agg(e.ord::integer), '{}') INTO rejected
                FROM unnest(p_events) WITH ORDINALITY e (key, ord)
                WHERE e.key IS NOT NULL
                    AND EXISTS (SELECT FROM log l WHERE l.event_key = e.key);
        END IF;
        IF cardinality(rejected) = 0 THEN
            INSERT INTO log (place, payload, user_key, event_key)
                SELECT append.first_place + g.ord - 1, g.payload, g.user_key, g.event_key
                FROM unnest(p_payloads, p_users, p_events)
                    WITH ORDINALITY g (payload, user_key, event_key, ord);
        ELSE
            kept := kept - cardinality(rejected);
            INSERT INTO log (place, payload, user_key, event_key)
                SELECT append.first_place + row_number() OVER (ORDER BY g.ord) - 1,
                    g.payload, g.user_key, g.event_key
                FROM unnest(p_payloads, p_users, p_events)
                    WITH ORDINALITY g (payload, user_key, event_key, ord)
                WHERE g.ord NOT IN (SELECT unnest(append.rejected));
        END IF;
        IF kept > 0 THEN
            UPDATE head SET next_place = append.first_place + kept;
            PERFORM pg_notify('nearline_' || current_schema(), (first_place + kept)::text);
        END IF;
        UPDATE servers s SET sequence = p_sequence, first_place = append.first_place,
            rejected = append.rejected, seen = clock_timestamp() WHERE s.id = p_server;
    END $$;

    -- Hide records from readers, as a new erasure; 0 if all of them are erased already.
    CREATE FUNCTION mark(p_places bigint[], OUT number bigint, OUT marked bigint)
    LANGUAGE plpgsql AS $$
    BEGIN
        SELECT h.erasures + 1 INTO number FROM head h FOR UPDATE;
        UPDATE log l SET erased = mark.number, event_key = NULL
            WHERE l.place = ANY(p_places) AND l.erased IS NULL AND l.user_key IS NOT NULL;
        GET DIAGNOSTICS marked = ROW_COUNT;
        IF marked = 0 THEN
            number := 0;
            RETURN;
        END IF;
        INSERT INTO erasures (number) VALUES (mark.number);
        UPDATE head SET erasures = mark.number;
        PERFORM pg_notify('nearline_' || current_schema(), 'erased');
    END $$;

    -- Overwrite erased records, once no live server needs them; return the last such erasure.
    CREATE FUNCTION bury(p_alive interval) RETURNS bigint
    LANGUAGE plpgsql AS $$
    DECLARE
        ready bigint;
    BEGIN
        SELECT coalesce(min(s.erasures), (SELECT h.erasures FROM head h)) INTO ready
            FROM servers s WHERE s.seen > clock_timestamp() - p_alive;
        IF EXISTS (SELECT FROM erasures e WHERE NOT e.buried AND e.number <= ready) THEN
            UPDATE log l SET payload = '\\x00', user_key = NULL
                WHERE l.erased IN (
                    SELECT e.number FROM erasures e WHERE NOT e.buried AND e.number <= ready
                );
            UPDATE erasures e SET buried = true WHERE NOT e.buried AND e.number <= ready;
        END IF;
        RETURN (
            SELECT coalesce(min(e.number) - 1, (SELECT h.erasures FROM head h))
            FROM erasures e WHERE NOT e.buried
        );
    END $$;

    -- Take or keep a lease; the epoch rises whenever the holder changes. NULL if another has it.
    CREATE FUNCTION lease(p_name text, p_holder uuid, p_seconds double precision) RETURNS bigint
    LANGUAGE sql AS $$
        INSERT INTO leases AS l (name, holder, epoch, until)
        VALUES (p_name, p_holder, 1, clock_timestamp() + make_interval(secs => p_seconds))
        ON CONFLICT (name) DO UPDATE SET
            holder = excluded.holder,
            epoch = l.epoch
                + CASE WHEN l.holder = excluded.holder AND l.until > clock_timestamp() THEN 0
                       ELSE 1 END,
            until = excluded.until
        WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()
        RETURNING epoch;
    $$;
    """,
    """
    ALTER TABLE head ADD COLUMN forgotten_key bytea NOT NULL
        DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
    ALTER TABLE servers ADD COLUMN ignored integer[] NOT NULL DEFAULT '{}';
    -- Keyed hashes of erased users, with the time of the erasure, and of the IDs of their events.
    CREATE TABLE forgotten (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        of_event boolean NOT NULL,
        digest bytea NOT NULL,
        time double precision NOT NULL,
        UNIQUE (of_event, digest)
    );

    -- As the function above, without the events of users who were erased after them: `ignored`.
    CREATE FUNCTION append(
        p_server uuid, p_sequence bigint, p_payloads bytea[], p_users bigint[], p_events bytea[],
        p_keyed boolean, p_lease text, p_epoch bigint,
        p_people bytea[], p_ids bytea[], p_times double precision[],
        OUT first_place bigint, OUT rejected integer[], OUT ignored integer[]
    ) LANGUAGE plpgsql AS $$
    DECLARE
        done record;
        kept bigint := cardinality(p_payloads);
        omitted integer[];
    BEGIN
        SELECT h.next_place INTO first_place FROM head h FOR UPDATE;
        SELECT s.sequence, s.first_place, s.rejected, s.ignored INTO done
            FROM servers s WHERE s.id = p_server;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the server is not registered' USING ERRCODE = 'NL001';
        END IF;
        IF done.sequence >= p_sequence THEN
            first_place := done.first_place;
            rejected := done.rejected;
            ignored := done.ignored;
            RETURN;
        END IF;
        IF p_lease IS NOT NULL AND NOT EXISTS (
            SELECT FROM leases l WHERE l.name = p_lease AND l.epoch = p_epoch
        ) THEN
            RAISE EXCEPTION 'the lease % has another epoch', p_lease USING ERRCODE = 'NL002';
        END IF;
        rejected := '{}';
        ignored := '{}';
        IF p_keyed THEN
            SELECT coalesce(array_agg(e.ord::integer), '{}') INTO rejected
                FROM unnest(p_events) WITH ORDINALITY e (key, ord)
                WHERE e.key IS NOT NULL
                    AND EXISTS (SELECT FROM log l WHERE l.event_key = e.key);
        END IF;
        IF p_people IS NOT NULL AND EXISTS (SELECT FROM forgotten) THEN
            SELECT coalesce(array_agg(e.ord::integer), '{}') INTO ignored
                FROM unnest(p_people, p_ids, p_times)
                    WITH ORDINALITY e (person, event, stamp, ord)
                WHERE e.ord <> ALL(append.rejected) AND (
                    EXISTS (
                        SELECT FROM forgotten f
                        WHERE NOT f.of_event AND f.digest = e.person AND e.stamp < f.time
                    ) OR EXISTS (
                        SELECT FROM forgotten f WHERE f.of_event AND f.digest = e.event
                    )
                );
        END IF;
        omitted := rejected || ignored;
        IF cardinality(omitted) = 0 THEN
            INSERT INTO log (place, payload, user_key, event_key)
                SELECT append.first_place + g.ord - 1, g.payload, g.user_key, g.event_key
                FROM unnest(p_payloads, p_users, p_events)
                    WITH ORDINALITY g (payload, user_key, event_key, ord);
        ELSE
            kept := kept - cardinality(omitted);
            INSERT INTO log (place, payload, user_key, event_key)
                SELECT append.first_place + row_number() OVER (ORDER BY g.ord) - 1,
                    g.payload, g.user_key, g.event_key
                FROM unnest(p_payloads, p_users, p_events)
                    WITH ORDINALITY g (payload, user_key, event_key, ord)
                WHERE g.ord NOT IN (SELECT unnest(omitted));
        END IF;
        IF kept > 0 THEN
            UPDATE head SET next_place = append.first_place + kept;
            PERFORM pg_notify('nearline_' || current_schema(), (first_place + kept)::text);
        END IF;
        UPDATE servers s SET sequence = p_sequence, first_place = append.first_place,
            rejected = append.rejected, ignored = append.ignored, seen = clock_timestamp()
            WHERE s.id = p_server;
    END $$;

    -- Remember an erasure; the oldest ones beyond the limits are dropped.
    CREATE FUNCTION forget(
        p_person bytea, p_ids bytea[], p_time double precision, p_people bigint, p_most bigint
    ) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM FROM head FOR UPDATE;
        DELETE FROM forgotten f WHERE (NOT f.of_event AND f.digest = p_person)
            OR (f.of_event AND f.digest = ANY(p_ids));
        INSERT INTO forgotten (of_event, digest, time) VALUES (false, p_person, p_time);
        INSERT INTO forgotten (of_event, digest, time)
            SELECT DISTINCT true, i.id, p_time FROM unnest(p_ids) i (id);
        DELETE FROM forgotten f WHERE f.of_event AND f.number <= (
            SELECT o.number FROM forgotten o WHERE o.of_event
            ORDER BY o.number DESC LIMIT 1 OFFSET p_most
        );
        DELETE FROM forgotten f WHERE NOT f.of_event AND f.number <= (
            SELECT o.number FROM forgotten o WHERE NOT o.of_event
            ORDER BY o.number DESC LIMIT 1 OFFSET p_people
        );
    END $$;
    """,
)
VERSION = len(STEPS)
