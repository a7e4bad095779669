/**
 * Whose is which interface of this node. Every witness that knows something of a pod must agree on one interface, and
 * no two pods may have the same: else the pod has none, its interface stays closed, and it is told. To judge a pod as
 * another one would be worse than not to let it speak.
 *
 *     links ──► routes, results of the CNI, processes ──► links again ──► what lasted, and all agree on
 */
import type { RunCommand } from '../host/command.ts';
import { lasting, readVeths, vethKey } from './veths.ts';
import type { AskedPod, Hearing, Testimony, Veth, Witness } from './witness.ts';

export interface FoundInterface {
  readonly name: string;
  readonly ifindex: number;
}

export interface FoundInterfaces {
  /** Name of the pod → its interface. */
  readonly interfaces: ReadonlyMap<string, FoundInterface>;
  readonly unfound: ReadonlyMap<string, Unfound>;
  /** Witnesses that could not look. */
  readonly problems: readonly string[];
}

export interface Unfound {
  readonly because: string;
  /** Something is known of it, and it does not fit together. */
  readonly isDisputed: boolean;
}

export interface PodInterfacesOptions {
  readonly run: RunCommand;
  /** Asked each time, about all pods. */
  readonly witnesses: readonly Witness[];
  /** Looks at much: asked only about pods with a UID of which it has said nothing that still holds. */
  readonly costly: Witness;
  readonly nowMs: () => number;
}

/** Of a pod of which the costly witness knows nothing: until it is asked again. */
const ASKED_AGAIN_MS = 1000;

export class PodInterfaces {
  readonly #options: PodInterfacesOptions;
  /** Key of a pod → what was found last. */
  #found: ReadonlyMap<string, Veth> = new Map();
  /** Key of a pod → what the costly witness said. */
  #costly = new Map<string, Said>();
  #askedAtMs = Number.NEGATIVE_INFINITY;
  /** See `Hearing.silence`: of the costly witness, once it has seen somebody. */
  #silence: string | null = null;

  constructor(options: PodInterfacesOptions) {
    this.#options = options;
  }

  /** `taken`: names of interfaces that are somebody else's. Throws when the interfaces cannot be read. */
  async find(pods: readonly AskedPod[], taken: ReadonlySet<string>): Promise<FoundInterfaces> {
    const before = await this.#veths();
    const hearings = await Promise.all(
      this.#options.witnesses.map((witness) => witness.hear(pods, before)),
    );
    const identified = pods.filter(({ podUid }) => podUid !== null);
    hearings.push(await this.#hearCostly(identified, before));
    const veths = lasting(before, await this.#veths());
    const found = settled({ pods, veths, taken, hearings, known: this.#found });
    const byIndex = new Map(veths.map((veth) => [veth.ifindex, veth]));
    this.#found = new Map(
      pods.flatMap((pod) => {
        const one = byIndex.get(found.interfaces.get(pod.name)?.ifindex ?? NO_INDEX);
        return one === undefined ? [] : [[keyOf(pod), one] as const];
      }),
    );
    return found;
  }

  async #hearCostly(pods: readonly AskedPod[], veths: readonly Veth[]): Promise<Hearing> {
    const { costly, nowMs } = this.#options;
    const present = new Map(veths.map((veth) => [veth.ifindex, vethKey(veth)]));
    for (const [key, { places }] of this.#costly) {
      if (places.some((place) => isAnothers(place, present))) this.#costly.delete(key);
    }
    const holds = (pod: AskedPod): boolean => {
      const places = this.#costly.get(keyOf(pod))?.places ?? [];
      return places.length > 0 && places.every(({ ifindex }) => present.has(ifindex));
    };
    const isNew = pods.some((pod) => !this.#costly.has(keyOf(pod)));
    const open = pods.filter((pod) => !holds(pod));
    const isDue = isNew || nowMs() - this.#askedAtMs >= ASKED_AGAIN_MS;
    let problem: string | null = null;
    if (open.length > 0 && isDue) {
      const heard = await costly.hear(open, veths);
      this.#askedAtMs = nowMs();
      problem = heard.problem;
      this.#silence = heard.silence ?? this.#silence;
      for (const pod of open) {
        const testimonies = heard.testimonies.get(pod.name) ?? [];
        const doubt = heard.doubts.get(pod.name);
        const own = new Set(testimonies.flatMap((one) => [...one.veths]));
        const places = veths.filter(({ ifindex }) => own.has(ifindex));
        const said = { testimonies, places };
        this.#costly.set(keyOf(pod), doubt === undefined ? said : { ...said, doubt });
      }
    }
    const keys = new Set(pods.map(keyOf));
    for (const key of this.#costly.keys()) if (!keys.has(key)) this.#costly.delete(key);
    const testimonies = new Map<string, readonly Testimony[]>();
    const doubts = new Map<string, string>();
    for (const pod of pods) {
      const said = this.#costly.get(keyOf(pod));
      if (said !== undefined && said.testimonies.length > 0)
        testimonies.set(pod.name, said.testimonies);
      if (said?.doubt !== undefined) doubts.set(pod.name, said.doubt);
    }
    return { testimonies, doubts, silence: this.#silence, problem };
  }

  async #veths(): Promise<readonly Veth[]> {
    const result = await readVeths(this.#options.run);
    if (result.kind === 'error') throw new Error(result.message);
    return result.veths;
  }
}

/** Of a costly witness. */
interface Said {
  readonly testimonies: readonly Testimony[];
  /** What the testimonies lead to, as it was then. */
  readonly places: readonly Veth[];
  readonly doubt?: string;
}

/** No interface has it. */
const NO_INDEX = 0;

/** Its index was given again. */
function isAnothers(veth: Veth, present: ReadonlyMap<number, string>): boolean {
  const key = present.get(veth.ifindex);
  return key !== undefined && key !== vethKey(veth);
}

/** A pod that was made anew, or has other addresses, is another one. */
function keyOf(pod: AskedPod): string {
  const known = KEYS.get(pod);
  if (known !== undefined) return known;
  const key = JSON.stringify([pod.name, pod.podUid, pod.ips]);
  KEYS.set(pod, key);
  return key;
}

/** A file may ask for tens of thousands, at each look for the same objects. */
const KEYS = new WeakMap<AskedPod, string>();

interface Settling {
  readonly pods: readonly AskedPod[];
  /** Those that were there before and after everybody was heard. */
  readonly veths: readonly Veth[];
  readonly taken: ReadonlySet<string>;
  readonly hearings: readonly Hearing[];
  /** Key of a pod → what was found the last time: it stays so while nobody says otherwise. */
  readonly known: ReadonlyMap<string, Veth>;
}

type Settled =
  | { readonly kind: 'found'; readonly veth: Veth }
  | ({ readonly kind: 'unfound' } & Unfound);

function settled(input: Settling): FoundInterfaces {
  const veths = new Map(input.veths.map((veth) => [veth.ifindex, veth]));
  const results = new Map(input.pods.map((pod) => [pod, settledOne(pod, input, veths)]));
  const owners = new Map<number, AskedPod[]>();
  for (const [pod, result] of results) {
    if (result.kind !== 'found') continue;
    owners.set(result.veth.ifindex, [...(owners.get(result.veth.ifindex) ?? []), pod]);
  }
  const interfaces = new Map<string, FoundInterface>();
  const unfound = new Map<string, Unfound>();
  for (const [pod, result] of results) {
    if (result.kind === 'unfound') {
      unfound.set(pod.name, result);
      continue;
    }
    const { name, ifindex } = result.veth;
    const others = (owners.get(ifindex) ?? []).filter((other) => other !== pod);
    if (others.length === 0) interfaces.set(pod.name, { name, ifindex });
    else unfound.set(pod.name, disputed(`${name} would be that of ${namesOf(others)}, too`));
  }
  const problems = input.hearings.flatMap(({ problem }) => (problem === null ? [] : [problem]));
  return { interfaces, unfound, problems };
}

function settledOne(
  pod: AskedPod,
  { hearings, known, taken }: Settling,
  veths: ReadonlyMap<number, Veth>,
): Settled {
  for (const { denials } of hearings) {
    const denial = denials?.get(pod.name);
    if (denial !== undefined) return disputed(denial);
  }
  const silence = silenceOn(pod, hearings);
  if (silence !== undefined) return { kind: 'unfound', isDisputed: false, because: silence };
  const said = hearings.flatMap(({ testimonies }) => testimonies.get(pod.name) ?? []);
  const before = known.get(keyOf(pod));
  const now = before === undefined ? undefined : veths.get(before.ifindex);
  const isThere = before !== undefined && now !== undefined && vethKey(now) === vethKey(before);
  if (said.length === 0 && isThere) said.push({ by: 'before', veths: new Set([before.ifindex]) });
  if (said.length === 0) {
    const doubt = hearings
      .map(({ doubts }) => doubts.get(pod.name))
      .find((one) => one !== undefined);
    return { kind: 'unfound', isDisputed: false, because: doubt ?? NOBODY_KNOWS };
  }
  const common = [...veths.values()].filter(({ ifindex }) =>
    said.every(({ veths: own }) => own.has(ifindex)),
  );
  const [veth, ...others] = common;
  if (veth === undefined) return disputed(disagreement(said, veths));
  if (others.length > 0) {
    return disputed(`${namesOf(common)} all lead to it, and nothing tells which`);
  }
  const isMoved = !isThere || veth.ifindex !== before.ifindex;
  const absence = absenceOf(pod, hearings);
  if (absence !== undefined && isMoved && said.every((one) => one.isOfAddress === true)) {
    return disputed(absence);
  }
  if (taken.has(veth.name)) {
    return disputed(`${veth.name} is named for something else`);
  }
  return { kind: 'found', veth };
}

function absenceOf({ name }: AskedPod, hearings: readonly Hearing[]): string | undefined {
  return hearings.flatMap(({ absences }) => absences?.get(name) ?? [])[0];
}

/** Of who would know, if it were here; undefined: nobody would. */
function silenceOn({ name, podUid }: AskedPod, hearings: readonly Hearing[]): string | undefined {
  if (podUid === null) return undefined;
  const silent = hearings.find(
    ({ silence, testimonies }) => silence !== null && !testimonies.has(name),
  );
  return silent === undefined
    ? undefined
    : (silent.doubts.get(name) ?? silent.silence ?? undefined);
}

function disputed(because: string): Extract<Settled, { kind: 'unfound' }> {
  return { kind: 'unfound', isDisputed: true, because };
}

const NOBODY_KNOWS =
  'no route to one of its addresses, no CNI result and no process of it leads to a veth';

function disagreement(said: readonly Testimony[], veths: ReadonlyMap<number, Veth>): string {
  const texts = said.map(({ by, veths: own }) => {
    const names = [...own].map(
      (ifindex) => veths.get(ifindex)?.name ?? `index ${ifindex}, now gone`,
    );
    return `${by} says ${names.join(' or ')}`;
  });
  return said.length === 1 ? (texts[0] as string) : `they disagree: ${texts.join('; ')}`;
}

function namesOf(named: readonly { readonly name: string }[]): string {
  return named
    .map(({ name }) => name)
    .sort()
    .join(' and ');
}
