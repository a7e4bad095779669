/** All objects of a kind that there are at one moment, one after the other, page by page. */
import type { Limits } from '../../model/limits.ts';
import type { Timers } from '../../platform/platform.ts';
import { JsonItems } from '../../text/json_items.ts';
import type { PieceLimits } from '../../text/json_piece.ts';
import type { KubeClient, KubeFailure } from '../client.ts';
import { refusalOfStatus } from '../failure.ts';
import type { KubeKind } from '../kind.ts';
import { readBody } from '../read_body.ts';
import { isVersion, type ReadObject, readElement, record } from './read_object.ts';
import { requestOf, type Selection } from './selection.ts';

export interface ListOptions {
  readonly kind: KubeKind;
  readonly selection: Selection;
  readonly timers: Timers;
  readonly limits: PieceLimits & Pick<Limits, 'kubeRequestTimeoutMs'>;
  readonly signal: AbortSignal;
}

export interface Listener {
  object(read: ReadObject): void;
  /** True: it wants no more. Absent: it takes all. */
  isEnough?(): boolean;
  /** All that was told is void: the list begins anew, since a page came too late. */
  again(): void;
}

export type ListResult =
  | {
      readonly kind: 'listed';
      /** Of the whole list: a watch goes on from here. */
      readonly version: string;
    }
  | KubeFailure;

type PageResult =
  | { readonly kind: 'page'; readonly version: string; readonly next: string }
  | KubeFailure;

/** As client-go's pager. */
const PAGE_COUNT = '500';
/** Of 50 million objects. */
const PAGES_MAX = 100_000;

/**
 * The newest there are, never what a cache had earlier: without a resourceVersion, the server asks its store. A token
 * for the next page is good for some minutes; once it is not, the list is asked for as one, as client-go does: the
 * token that comes with the refusal would go on with a list of another moment.
 */
export async function listAll(
  client: KubeClient,
  options: ListOptions,
  listener: Listener,
): Promise<ListResult> {
  let query: Readonly<Record<string, string>> = { limit: PAGE_COUNT };
  for (let i = 0; i < PAGES_MAX; i++) {
    const page = await listPage(client, query, options, listener);
    if (page.kind === 'page') {
      if (page.next === '') return { kind: 'listed', version: page.version };
      if (page.next === query['continue']) return failed('the list does not go on');
      query = { limit: PAGE_COUNT, continue: page.next };
    } else if (page.kind === 'refused' && page.status === 410 && 'continue' in query) {
      listener.again();
      query = {};
    } else {
      return page;
    }
  }
  return failed('the list does not end');
}

async function listPage(
  client: KubeClient,
  query: Readonly<Record<string, string>>,
  { kind, selection, timers, limits, signal }: ListOptions,
  listener: Listener,
): Promise<PageResult> {
  const reply = await client.stream(requestOf(kind, selection, query, signal));
  if (reply.kind !== 'stream') return reply;
  const quietMaxMs = (): number => limits.kubeRequestTimeoutMs;
  const bounds = { timers, quietMaxMs, lifeMaxMs: null };
  const items = new JsonItems(limits);
  const end = await readBody(reply.body, bounds, (chunk) => {
    for (const piece of items.split(chunk)) {
      listener.object(readElement(piece, kind));
      if (listener.isEnough?.() === true) return false;
    }
    return true;
  });
  if (end.kind === 'cut') return failed(`the list was cut: ${end.message}`);
  if (end.kind === 'enough') return failed('the list is given up');
  if (end.kind !== 'end') return failed('the list does not go on');
  return pageOf(items);
}

function pageOf(items: JsonItems): PageResult {
  const rest = items.rest();
  if (rest.kind === 'unreadable') return failed(`the list cannot be read: ${rest.message}`);
  const refusal = refusalOfStatus(rest.value, 500);
  if (refusal !== null) return refusal;
  const list = record(rest.value);
  const metadata = record(list?.['metadata']);
  const version = metadata?.['resourceVersion'];
  // An answer of something else must not be taken for a list without objects.
  if (typeof list?.['kind'] !== 'string' || !list['kind'].endsWith('List')) {
    return failed('the answer is no list');
  }
  if (!isVersion(version)) return failed('the list has no resourceVersion');
  const token = metadata?.['continue'];
  return { kind: 'page', version, next: typeof token === 'string' ? token : '' };
}

function failed(message: string): KubeFailure {
  return { kind: 'unreachable', message };
}
