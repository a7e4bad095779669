/**
 * Whether an API server has a kind, by its own word. A path that does not answer (404) may be one that a starting
 * server does not have yet, or one of something in between; to take away all objects of a kind needs more.
 */
import type { Clock } from '../../platform/platform.ts';
import type { KubeClient, KubeFailure } from '../client.ts';
import type { KubeKind } from '../kind.ts';
import { record } from './read_object.ts';

export type ServedResult = { readonly kind: 'served' } | { readonly kind: 'absent' } | KubeFailure;

type Plurals = { readonly kind: 'plurals'; readonly plurals: ReadonlySet<string> } | KubeFailure;

interface Asked {
  readonly atMs: number;
  readonly answer: Promise<Plurals>;
}

/** All kinds of a group that are missed ask in one request. */
const KEPT_MS = 5_000;

export class ServedKinds {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #asked = new Map<string, Asked>();

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  async look({ group, version, plural }: KubeKind): Promise<ServedResult> {
    // The server itself is nothing without them.
    if (group === '') return { kind: 'served' };
    const answer = await this.#plurals(`${group}/${version}`);
    if (answer.kind !== 'plurals') return answer;
    return { kind: answer.plurals.has(plural) ? 'served' : 'absent' };
  }

  #plurals(groupVersion: string): Promise<Plurals> {
    const nowMs = this.#clock.nowMs();
    const asked = this.#asked.get(groupVersion);
    if (asked !== undefined && nowMs - asked.atMs < KEPT_MS) return asked.answer;
    const answer = this.#ask(groupVersion);
    this.#asked.set(groupVersion, { atMs: nowMs, answer });
    return answer;
  }

  async #ask(groupVersion: string): Promise<Plurals> {
    const reply = await this.#client.request({ method: 'GET', path: `/apis/${groupVersion}` });
    if (reply.kind === 'ok') return pluralsOf(reply.object) ?? strange(`/apis/${groupVersion}`);
    if (reply.kind !== 'refused' || reply.status !== 404) return reply;
    const groups = await this.#client.request({ method: 'GET', path: '/apis' });
    if (groups.kind !== 'ok') return groups;
    const versions = groupVersionsOf(groups.object);
    if (versions === null) return strange('/apis');
    return versions.has(groupVersion) ? reply : { kind: 'plurals', plurals: new Set() };
  }
}

function pluralsOf(object: unknown): Plurals | null {
  const list = record(object);
  const resources = list?.['resources'];
  if (list?.['kind'] !== 'APIResourceList' || !Array.isArray(resources)) return null;
  const names = resources.map((resource) => String(record(resource)?.['name']));
  return { kind: 'plurals', plurals: new Set(names) };
}

function groupVersionsOf(object: unknown): ReadonlySet<string> | null {
  const list = record(object);
  const groups = list?.['groups'];
  if (list?.['kind'] !== 'APIGroupList' || !Array.isArray(groups)) return null;
  const versions = groups.flatMap((group) => record(group)?.['versions'] ?? []);
  return new Set(versions.map((version) => String(record(version)?.['groupVersion'])));
}

function strange(path: string): KubeFailure {
  return {
    kind: 'refused',
    status: 200,
    reason: '',
    message: `its answer to ${path} is none of a Kubernetes API`,
    retryAfterMs: null,
  };
}
