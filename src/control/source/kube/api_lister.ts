/** Lists objects of an API server. */
import type { KubeClient, KubeFailure } from '../../../kube/client.ts';
import type { KubeKind } from '../../../kube/kind.ts';
import { nameKeyOf, type ObjectNameKey } from '../../../kube/seen_object.ts';
import { type ListOptions, listAll } from '../../../kube/watch/list_all.ts';
import type { UnreadObject } from '../../../kube/watch/read_object.ts';
import type { Selection } from '../../../kube/watch/selection.ts';
import { ServedKinds } from '../../../kube/watch/served_kinds.ts';
import type { Platform } from '../../../platform/platform.ts';
import type { Listed, ListSink, ObjectLister } from './cluster_reading.ts';

export interface ApiListerOptions {
  readonly platform: Platform;
  readonly limits: ListOptions['limits'];
  readonly signal: AbortSignal;
}

export class ApiLister implements ObjectLister {
  readonly #client: KubeClient;
  readonly #options: ApiListerOptions;
  readonly #served: ServedKinds;

  constructor(client: KubeClient, options: ApiListerOptions) {
    this.#client = client;
    this.#options = options;
    this.#served = new ServedKinds(client, options.platform.clock);
  }

  list(
    kind: KubeKind,
    { namespace, name }: { readonly namespace: string | null; readonly name: string | null },
    sink: ListSink,
  ): Promise<Listed> {
    const selection = {
      ...(namespace === null ? {} : { namespace }),
      ...(name === null ? {} : { fieldSelector: `metadata.name=${name}` }),
    };
    return this.listSelected(kind, selection, sink);
  }

  async listSelected(kind: KubeKind, selection: Selection, sink: ListSink): Promise<Listed> {
    const keys = new Set<ObjectNameKey>();
    let unread: UnreadObject | null = null;
    const { platform, limits, signal } = this.#options;
    const options = { kind, selection, timers: platform.timers, limits, signal };
    const result = await listAll(this.#client, options, {
      object: (read) => {
        if (read.kind === 'unread') {
          unread ??= read;
          return;
        }
        keys.add(nameKeyOf(read.seen));
        sink.put(read.seen);
      },
      again: () => {
        keys.clear();
        unread = null;
      },
    });
    if (result.kind === 'refused') return this.#refused(kind, result);
    if (result.kind !== 'listed') return result;
    if (unread !== null) return unreadFailure(kind, unread);
    sink.listed(keys);
    return { kind: 'listed' };
  }

  async #refused(
    kind: KubeKind,
    refusal: Extract<KubeFailure, { kind: 'refused' }>,
  ): Promise<Listed> {
    switch (refusal.status) {
      case 401:
        // No right to anything helps whoever is not known.
        return { kind: 'unreachable', message: `${NOT_KNOWN} (${refusal.message})` };
      case 403:
        // Rights are asked for before it is known whether there is such a kind.
        return (await this.#served.look(kind)).kind === 'absent' ? { kind: 'absent' } : refusal;
      case 404:
        return this.#missing(kind);
      default:
        return refusal;
    }
  }

  async #missing(kind: KubeKind): Promise<Listed> {
    const looked = await this.#served.look(kind);
    if (looked.kind === 'absent') return { kind: 'absent' };
    if (looked.kind !== 'served') return looked;
    const message = `the API server has ${kind.plural}, and does not give them (404); it may be starting`;
    return { kind: 'unreachable', message };
  }
}

const NOT_KNOWN =
  'the API server does not take our credentials: the token or certificate is wrong or has expired';

/** One that is missing could be the one that decides. */
function unreadFailure(kind: KubeKind, { name, message }: UnreadObject): Listed {
  const which = name === null ? `one of ${kind.plural}` : `${kind.kind} ${nameKeyOf(name)}`;
  return { kind: 'unreachable', message: `${which} cannot be read: ${message}` };
}
