/** Whose an interface is: all who know something agree, or nobody has it. */
import { describe, expect, it } from 'vitest';
import type { RunCommand } from '../../../src/redirect/host/command.ts';
import { PodInterfaces } from '../../../src/redirect/interfaces/pod_interfaces.ts';
import type {
  AskedPod,
  Hearing,
  Testimony,
  Witness,
} from '../../../src/redirect/interfaces/witness.ts';

const API: AskedPod = { name: 'shop/api', ips: ['10.0.0.5', 'fd00::5'], podUid: 'a' };
const WEB: AskedPod = { name: 'shop/web', ips: ['10.0.0.6'], podUid: 'b' };

type Said = Readonly<Record<string, readonly (readonly number[])[]>>;

/** A node of veths with these indexes, each to a namespace of its own, and witnesses that say this. */
class World {
  veths: readonly number[] = [10, 11, 12];
  /** Between the two looks at the links. */
  lasting: readonly number[] | null = null;
  /** Index → another name than that after the index. */
  names: Readonly<Record<number, string>> = {};
  said: Said = {};
  costly: Said = {};
  /** Pod → where the route to its address leads. */
  routes: Readonly<Record<string, number>> = {};
  problem: string | null = null;
  silence: string | null = null;
  denials: ReadonlyMap<string, string> = new Map();
  absences: ReadonlyMap<string, string> = new Map();
  nowMs = 0;
  costlyAsks: (readonly string[])[] = [];
  readonly finder: PodInterfaces;
  #looks = 0;

  constructor() {
    this.finder = new PodInterfaces({
      run: this.#run,
      witnesses: [this.#witness(() => this.said), { hear: async () => this.#routesHeard() }],
      costly: this.#witness(
        () => this.costly,
        (pods) => void this.costlyAsks.push(pods.map(({ name }) => name)),
        () => this.silence,
      ),
      nowMs: () => this.nowMs,
    });
  }

  async find(pods: readonly AskedPod[] = [API, WEB], taken: readonly string[] = []) {
    const found = await this.finder.find(pods, new Set(taken));
    return {
      ...Object.fromEntries([...found.interfaces].map(([pod, { name }]) => [pod, name])),
      ...Object.fromEntries([...found.unfound].map(([pod, { because }]) => [pod, `! ${because}`])),
    };
  }

  readonly #run: RunCommand = async () => {
    const isSecond = this.#looks++ % 2 === 1;
    const indexes = isSecond ? (this.lasting ?? this.veths) : this.veths;
    const links = indexes.map((ifindex) => ({
      ...{ ifindex, ifname: this.names[ifindex] ?? `veth${ifindex}`, link_netnsid: ifindex },
      linkinfo: { info_kind: 'veth' },
    }));
    return { code: 0, stdout: JSON.stringify(links), stderr: '' };
  };

  #routesHeard(): Hearing {
    const said = Object.entries(this.routes).map(([pod, ifindex]) => {
      const one: Testimony = { by: 'a route', veths: new Set([ifindex]), isOfAddress: true };
      return [pod, [one]] as const;
    });
    return { testimonies: new Map(said), doubts: new Map(), silence: null, problem: null };
  }

  #witness(
    said: () => Said,
    onAsked: (pods: readonly AskedPod[]) => void = () => {},
    silence: () => string | null = () => null,
  ): Witness {
    return {
      hear: async (pods): Promise<Hearing> => {
        onAsked(pods);
        const testimonies = Object.entries(said()).map(
          ([pod, all]) =>
            [
              pod,
              all.map((veths, index): Testimony => ({ by: `way ${index}`, veths: new Set(veths) })),
            ] as const,
        );
        return {
          ...{ testimonies: new Map(testimonies), doubts: new Map(), problem: this.problem },
          ...{ silence: silence(), denials: this.denials, absences: this.absences },
        };
      },
    };
  }
}

const UNKNOWN = expect.stringMatching(/^! no route .*, no CNI result and no process/);

it.each(['said', 'costly'] as const)(
  'an index that is given again is not the former pod’s, whoever said so (%s)',
  async (by) => {
    const world = new World();
    world[by] = { 'shop/api': [[10]] };
    expect(await world.find([API])).toEqual({ 'shop/api': 'veth10' });
    world[by] = {};
    expect(await world.find([API])).toEqual({ 'shop/api': 'veth10' });
    world.names = { 10: 'next' };
    expect(await world.find([API])).toEqual({ 'shop/api': expect.stringMatching(/^! no route/) });
  },
);

describe('an interface is found', () => {
  const cases: readonly [about: string, said: Said, costly: Said, expected: unknown][] = [
    ['by one', { 'shop/api': [[10]] }, {}, { 'shop/api': 'veth10', 'shop/web': UNKNOWN }],
    ['by two that agree', { 'shop/api': [[10], [10]] }, {}, { 'shop/api': 'veth10' }],
    ['by processes alone', {}, { 'shop/web': [[11]] }, { 'shop/web': 'veth11' }],
    [
      'by one that knows several and one that knows which',
      { 'shop/api': [[10]] },
      { 'shop/api': [[10, 12]] },
      { 'shop/api': 'veth10' },
    ],
    [
      'not where two disagree',
      { 'shop/api': [[10], [11]] },
      {},
      { 'shop/api': '! they disagree: way 0 says veth10; way 1 says veth11' },
    ],
    [
      'not where processes say otherwise than routes',
      { 'shop/api': [[10]] },
      { 'shop/api': [[11]] },
      { 'shop/api': expect.stringMatching(/^! they disagree/) },
    ],
    [
      'not where nothing tells which of two it is',
      {},
      { 'shop/api': [[10, 12]] },
      { 'shop/api': '! veth10 and veth12 all lead to it, and nothing tells which' },
    ],
    [
      'of neither where two have the same',
      { 'shop/api': [[10]], 'shop/web': [[10]] },
      {},
      {
        'shop/api': '! veth10 would be that of shop/web, too',
        'shop/web': '! veth10 would be that of shop/api, too',
      },
    ],
    [
      'not when it is not there',
      { 'shop/api': [[77]] },
      {},
      { 'shop/api': '! way 0 says index 77, now gone' },
    ],
  ];
  it.each(cases)('%s', async (_about, said, costly, expected) => {
    const world = new World();
    Object.assign(world, { said, costly });
    expect(await world.find()).toMatchObject(expected as object);
  });

  it('not when it was another one while it was asked for', async () => {
    const world = new World();
    Object.assign(world, { said: { 'shop/api': [[10]] }, lasting: [11, 12] });
    expect(await world.find([API])).toEqual({ 'shop/api': '! way 0 says index 10, now gone' });
  });

  it('not when it is named for something else', async () => {
    const world = new World();
    world.said = { 'shop/api': [[10]] };
    expect(await world.find([API], ['veth10'])).toEqual({
      'shop/api': '! veth10 is named for something else',
    });
  });
});

describe('what was found', () => {
  it('stays while nobody says otherwise, and its interface is there', async () => {
    const world = new World();
    world.said = { 'shop/api': [[10]] };
    await world.find([API]);
    Object.assign(world, { said: {}, problem: 'ip: killed' });
    expect(await world.find([API])).toEqual({ 'shop/api': 'veth10' });
    world.veths = [11];
    expect(await world.find([API])).toEqual({ 'shop/api': UNKNOWN });
    world.veths = [10, 11];
    expect(await world.find([API])).toEqual({ 'shop/api': UNKNOWN });
  });

  it.each([
    ['other addresses', { ...API, ips: ['10.0.0.7'] }],
    ['another UID', { ...API, podUid: 'c' }],
    ['another name', { ...API, name: 'shop/other' }],
  ])('is not that of a pod with %s', async (_about, other) => {
    const world = new World();
    world.said = { 'shop/api': [[10]] };
    await world.find([API]);
    world.said = {};
    expect(await world.find([other])).toEqual({ [other.name]: UNKNOWN });
  });

  it('is another one when all say so: two that were swapped', async () => {
    const world = new World();
    world.said = { 'shop/api': [[10]], 'shop/web': [[11]] };
    expect(await world.find()).toEqual({ 'shop/api': 'veth10', 'shop/web': 'veth11' });
    world.said = { 'shop/api': [[11]], 'shop/web': [[10]] };
    expect(await world.find()).toEqual({ 'shop/api': 'veth11', 'shop/web': 'veth10' });
  });
});

it('an interface that is denied is not found, whatever others say', async () => {
  const world = new World();
  Object.assign(world, { said: { 'shop/api': [[10]], 'shop/web': [[11]] } });
  world.denials = new Map([['shop/api', 'it is now of shop/new']]);
  expect(await world.find()).toEqual({
    'shop/api': '! it is now of shop/new',
    'shop/web': 'veth11',
  });
});

describe('where each pod has a CNI result', () => {
  const absent = { absences: new Map([['shop/api', 'no result']]) };
  const cases: readonly [about: string, world: Partial<World>, expected: string][] = [
    ['routes alone do not tell whose one is', { routes: { 'shop/api': 10 } }, '! no result'],
    ['its processes do', { routes: { 'shop/api': 10 }, costly: { 'shop/api': [[10]] } }, 'veth10'],
    [
      'they do not when they say otherwise',
      { routes: { 'shop/api': 10 }, costly: { 'shop/api': [[11]] } },
      '! they disagree: a route says veth10; way 0 says veth11',
    ],
  ];
  it.each(cases)('%s', async (_about, more, expected) => {
    const world = new World();
    Object.assign(world, absent, more);
    expect(await world.find([API])).toEqual({ 'shop/api': expected });
  });

  it('one that was found stays when its result goes, and has no other by a route alone', async () => {
    const world = new World();
    Object.assign(world, { said: { 'shop/api': [[10]] }, routes: { 'shop/api': 10 } });
    expect(await world.find([API])).toEqual({ 'shop/api': 'veth10' });
    Object.assign(world, { said: {}, ...absent });
    expect(await world.find([API])).toEqual({ 'shop/api': 'veth10' });
    world.routes = { 'shop/api': 11 };
    expect(await world.find([API])).toEqual({ 'shop/api': '! no result' });
  });

  it('the index of the one that was found, given again, is not its by a route alone', async () => {
    const world = new World();
    Object.assign(world, { said: { 'shop/api': [[10]] }, routes: { 'shop/api': 10 } });
    expect(await world.find([API])).toEqual({ 'shop/api': 'veth10' });
    Object.assign(world, { said: {}, names: { 10: 'next' }, ...absent });
    expect(await world.find([API])).toEqual({ 'shop/api': '! no result' });
  });
});

describe('where processes of pods are seen', () => {
  it('a pod has an interface only when one of its own is: its address may be another’s by now', async () => {
    const world = new World();
    const said = { 'shop/api': [[10]], 'shop/web': [[11]] };
    Object.assign(world, { said, costly: { 'shop/web': [[11]] }, silence: 'not seen' });
    expect(await world.find()).toEqual({ 'shop/api': '! not seen', 'shop/web': 'veth11' });
    // Also by a look at which nobody had to be asked, and when that cannot be done for once.
    Object.assign(world, { silence: null });
    expect(await world.find()).toEqual({ 'shop/api': '! not seen', 'shop/web': 'veth11' });
  });

  it('an endpoint without a UID is not asked for it', async () => {
    const world = new World();
    Object.assign(world, { said: { 'shop/api': [[10]] }, silence: 'not seen' });
    expect(await world.find([{ ...API, podUid: null }])).toEqual({ 'shop/api': 'veth10' });
  });
});

describe('the one whom to ask costs much', () => {
  it('is not asked again about pods of which it knows', async () => {
    const world = new World();
    world.costly = { 'shop/api': [[10]] };
    await world.find();
    await world.find();
    world.nowMs = 2000;
    await world.find();
    expect(world.costlyAsks).toEqual([['shop/api', 'shop/web'], ['shop/web']]);
  });

  it('is asked at once about a new pod, and when what it said holds no more', async () => {
    const world = new World();
    world.costly = { 'shop/api': [[10]] };
    await world.find([API]);
    await world.find([API, WEB]);
    Object.assign(world, { nowMs: 5000, veths: [11, 12], costly: { 'shop/api': [[12]] } });
    expect(await world.find([API, WEB])).toMatchObject({ 'shop/api': 'veth12' });
    expect(world.costlyAsks).toEqual([['shop/api'], ['shop/web'], ['shop/api', 'shop/web']]);
  });
});

it('nothing is found on a node whose interfaces cannot be read', async () => {
  const none: Witness = {
    hear: async () => ({ testimonies: new Map(), doubts: new Map(), silence: null, problem: null }),
  };
  const run: RunCommand = async () => ({ code: 1, stdout: '', stderr: 'no' });
  const finder = new PodInterfaces({ run, witnesses: [], costly: none, nowMs: () => 0 });
  await expect(finder.find([API], new Set())).rejects.toThrow('ip link: no');
});
