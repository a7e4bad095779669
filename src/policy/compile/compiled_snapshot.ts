/**
 * A compiled policy set with who is who at one moment. What is compiled is shared by all snapshots of one set; a
 * batch of identities makes another snapshot of it, and asks the selectors about the identities that are new.
 *
 *     Snapshot 7 ── endpoints, roster, remotes, tables ──┐
 *        │ after(batch)                                  ├── rules, patterns, indexes, views: compiled once
 *     Snapshot 7 ── those, but for what changed ─────────┘
 */
import type { RuleRef } from '../../model/decision.ts';
import {
  CompiledEndpoint,
  type DirectionTables,
  UNKNOWN_ENDPOINT,
} from '../compiled/compiled_endpoint.ts';
import {
  NO_NODE_CONTENTS,
  type NodeContents,
  type PolicySnapshot,
  type Who,
} from '../compiled/snapshot.ts';
import { BrokenTableError, type EndpointPlace, type IdentityBatch } from '../identity/delta.ts';
import type { Remotes } from '../identity/remotes.ts';
import { changedIdentities } from '../identity/roster.ts';
import { ServiceTable } from '../identity/service_table.ts';
import type { IdentityLookup, LabelLookup } from '../lookups.ts';
import type { CompiledDirection } from './compiled_direction.ts';
import type { EndpointIndex, PlacedEndpoint, SubjectPolicy } from './endpoint_index.ts';
import type { RuleCompiler } from './rule_compiler.ts';

const NONE: readonly number[] = [];

/** What never changes while the set is in force. */
export interface CompiledSet {
  readonly revision: number;
  readonly compiler: RuleCompiler;
  readonly rules: readonly RuleRef[];
  readonly policyNames: readonly string[];
  /** Subject → the policy of its endpoints. */
  readonly subjects: ReadonlyMap<number, SubjectPolicy>;
  /** Selector → directions that have a rule with it. */
  readonly bySelector: ReadonlyMap<number, readonly CompiledDirection[]>;
}

export interface SnapshotState {
  readonly endpoints: EndpointIndex;
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
  /** Null: a set that takes no batches. */
  readonly who: Who | null;
  /** Tables of directions that are laid out otherwise than they were compiled. */
  readonly tables: ReadonlyMap<CompiledDirection, DirectionTables>;
  readonly shadow: PolicySnapshot | null;
  readonly prefixes: NodeContents['prefixes'] | null;
  readonly workloads: NodeContents['workloads'];
  /** Absent: none are known. */
  readonly services?: ServiceTable;
}

export class Snapshot implements PolicySnapshot {
  readonly revision: number;
  readonly rules: readonly RuleRef[];
  readonly policyNames: readonly string[];
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
  readonly shadow: PolicySnapshot | null;
  readonly who: Who | null;
  readonly services: ServiceTable;
  readonly #set: CompiledSet;
  readonly #state: SnapshotState;
  /** One object an endpoint, made when somebody asks. */
  readonly #seen = new Map<PlacedEndpoint, CompiledEndpoint>();

  constructor(set: CompiledSet, state: SnapshotState) {
    this.revision = set.revision;
    this.rules = set.rules;
    this.policyNames = set.policyNames;
    this.ipcache = state.ipcache;
    this.labels = state.labels;
    this.shadow = state.shadow;
    this.who = state.who;
    this.services = state.services ?? ServiceTable.EMPTY;
    this.#set = set;
    this.#state = state;
  }

  get node(): NodeContents {
    const { workloads, prefixes } = this.#state;
    const ipcache = this.who?.roster.ipcache;
    // All prefixes are a list that is made when it is asked for.
    if (ipcache !== undefined)
      return {
        workloads,
        get prefixes() {
          return ipcache.entries;
        },
      };
    return prefixes === null ? NO_NODE_CONTENTS : { prefixes, workloads };
  }

  withServices(services: ServiceTable): Snapshot {
    return services === this.services
      ? this
      : new Snapshot(this.#set, { ...this.#state, services });
  }

  endpoint(ip: string): CompiledEndpoint {
    const placed = this.#state.endpoints.at(ip);
    return placed === null ? UNKNOWN_ENDPOINT : this.#see(placed);
  }

  endpointNamed(name: string): CompiledEndpoint | null {
    const placed = this.#state.endpoints.named(name);
    return placed === null ? null : this.#see(placed);
  }

  endpoints(): readonly CompiledEndpoint[] {
    return this.#state.endpoints.all().map((placed) => this.#see(placed));
  }

  naming(endpointIp: string, name: string): readonly number[] {
    const numbers = this.who?.remotes.selectors.naming(name) ?? NONE;
    if (numbers.length === 0) return NONE;
    const egress = this.#state.endpoints.at(endpointIp)?.directions.egress;
    const { bySelector } = this.#set;
    const isUsed = (number: number): boolean =>
      egress !== undefined && bySelector.get(number)?.includes(egress) === true;
    return numbers.filter(isUsed);
  }

  places(): readonly EndpointPlace[] {
    return this.#state.endpoints
      .all()
      .flatMap(({ name, endpointId, endpointIps, subject }) =>
        subject === null ? [] : [{ name, endpointId, ips: endpointIps, subject }],
      );
  }

  /** Throws a BrokenTableError when the batch does not fit; this snapshot stays what it is in any case. */
  after(batch: IdentityBatch, workloads = this.#state.workloads): Snapshot {
    const { who, endpoints, shadow } = this.#state;
    if (who === null) throw new BrokenTableError('the set takes no batches');
    const roster = who.roster.after(batch);
    const { remotes, flipped } = who.remotes.after(roster, changedIdentities(batch));
    const { tables: laidOut } = this.#state;
    const tables = flipped.length === 0 ? laidOut : this.#laidOut(flipped, remotes);
    const layout = tables === laidOut ? who.layout : tables;
    return new Snapshot(this.#set, {
      ...this.#state,
      endpoints: endpoints.after(batch, this.#set.subjects),
      ipcache: roster.ipcache,
      labels: roster,
      who: { roster, remotes, layout },
      tables,
      shadow: shadow?.after(batch, workloads) ?? null,
      workloads,
    });
  }

  #laidOut(flipped: readonly number[], remotes: Remotes): SnapshotState['tables'] {
    const { bySelector, compiler } = this.#set;
    const tables = new Map(this.#state.tables);
    // What an earlier batch failed at is that batch's.
    const before = compiler.problems.length;
    const directions = new Set(flipped.flatMap((selector) => bySelector.get(selector) ?? []));
    for (const direction of directions) {
      tables.set(direction, direction.tablesWith(remotes, this.#tablesOf(direction)));
    }
    const problem = compiler.problems[before];
    if (problem !== undefined) throw new BrokenTableError(problem.message);
    return tables;
  }

  #tablesOf(direction: CompiledDirection): DirectionTables {
    return this.#state.tables.get(direction) ?? direction.tables;
  }

  #see(placed: PlacedEndpoint): CompiledEndpoint {
    let seen = this.#seen.get(placed);
    if (seen === undefined) {
      const { ingress, egress } = placed.directions;
      const tables = { ingress: this.#tablesOf(ingress), egress: this.#tablesOf(egress) };
      seen = new CompiledEndpoint(placed, tables, this.who?.remotes ?? null);
      this.#seen.set(placed, seen);
    }
    return seen;
  }
}
