/** A worker's part of names: what its answers teach goes to the supervisor, and so does which learned addresses are in use. */
import type { IpText } from '../model/address.ts';
import type { Limits } from '../model/limits.ts';
import type { PlaneEvents } from '../model/record.ts';
import type { Platform } from '../platform/platform.ts';
import type { PolicySnapshot } from '../policy/compiled/snapshot.ts';
import { fqdnNamesOf } from '../policy/identity/selects.ts';
import { NameLearner, type ToldLookup } from '../proxy/dns/name_learner.ts';
import type { FromWorker, WorkerSettings } from './messages.ts';

export interface TaughtNamesOptions {
  readonly currentSnapshot: () => PolicySnapshot;
  readonly limits: Limits;
  readonly platform: Pick<Platform, 'clock' | 'timers' | 'soon'>;
  readonly events: Pick<PlaneEvents, 'dnsAnswerHeld'>;
  /** Destinations of open connections. */
  readonly openAddresses: () => Iterable<IpText>;
  readonly post: (message: FromWorker) => void;
}

export class TaughtNames {
  readonly learner: NameLearner;
  readonly #options: TaughtNamesOptions;
  readonly #stopMarks: () => void;
  /** That came in this turn. */
  #lookups: ToldLookup[] = [];

  constructor(options: TaughtNamesOptions) {
    const { limits, platform, currentSnapshot, events } = options;
    const { clock, timers } = platform;
    this.#options = options;
    const tell = (lookup: ToldLookup): void => this.#tell(lookup);
    this.learner = new NameLearner({ currentSnapshot, limits, clock, timers, events, tell });
    // Each is missed at most three times before what it marks goes.
    const intervalMs = limits.dnsLearnedGraceMs / 4;
    this.#stopMarks = timers.every(intervalMs, () => this.#markOpen());
  }

  inForce(ids: readonly number[]): void {
    this.learner.inForce(ids);
  }

  stop(): void {
    this.#stopMarks();
    this.learner.stop();
  }

  #tell(lookup: ToldLookup): void {
    this.#lookups.push(lookup);
    if (this.#lookups.length > 1) return;
    this.#options.platform.soon(() => {
      const lookups = this.#lookups;
      this.#lookups = [];
      this.#options.post({ kind: 'lookups', lookups });
    });
  }

  #markOpen(): void {
    const { currentSnapshot, openAddresses, post } = this.#options;
    const { who, ipcache } = currentSnapshot();
    if (who === null) return;
    const ips = new Set<IpText>();
    for (const ip of openAddresses()) {
      const identity = ips.has(ip) ? null : ipcache.lookup(ip);
      const entry = identity === null ? null : who.roster.entry(identity);
      if (entry !== null && fqdnNamesOf(entry).length > 0) ips.add(ip);
    }
    if (ips.size > 0) post({ kind: 'open-addresses', ips: [...ips] });
  }
}

/** Null: no listener hears of names. */
export function taughtNames(
  { listeners }: Pick<WorkerSettings, 'listeners'>,
  options: TaughtNamesOptions,
): TaughtNames | null {
  // What is redirected may be a question on any listener.
  const isHeard = listeners.some(
    ({ protocol, direction }) => protocol === 'dns' || direction === 'by-record',
  );
  return isHeard ? new TaughtNames(options) : null;
}
