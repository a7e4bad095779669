/**
 * Our CRDs on a real API server: it takes what `check` takes, keeps all of it, and refuses what `check` refuses, but
 * for what no schema can say. Beside Cilium's own CRDs they never take what those refuse.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { crdFiles } from '../../../src/control/decode/cnp/print_crds.ts';
import { SeededRandom } from '../../support/seeded_random.ts';
import { until } from '../../support/until.ts';
import {
  type AnyObject,
  mutated,
  pathOf,
  type Sample,
  saidByCheck,
  withoutNulls,
  writtenPolicies,
  wrongPolicies,
} from './crd_corpus.ts';
import { ControlPlane } from './parts/control_plane.ts';

/** What `check` says of an object and an API server cannot; docs/deployment.md has the list for users. */
const ONLY_CHECK: readonly RegExp[] = [
  /is no RE2 pattern/,
  /is longer than regexBytesMax/,
  /is not within .* \(found/,
  /must not be less than port/,
  /DNS rules cannot be on a port range/,
  // The other spellings of a field that servers fold into it.
  /frames the message or belongs to the connection/,
  // ObjectMeta has a schema of its own, and what it does not know is gone before anybody looks.
  /^metadata\.[a-z]+: unknown field/,
];

const MUTATED_COUNT = 1500;
const LANE_COUNT = 8;
const SEED = Number(process.env['CRD_SEED'] ?? 1);
const GO_FOLDER = new URL('../../peers/agent', import.meta.url).pathname;
const CILIUM = 'github.com/cilium/cilium';

let cluster: ControlPlane;

beforeAll(async () => {
  cluster = await ControlPlane.start({ store: 'etcd' });
  await applyOurs();
  const all = [...writtenPolicies(), ...wrongPolicies()];
  for (const name of new Set(all.map(({ object }) => object.metadata.namespace))) {
    if (name !== undefined) await cluster.ask('POST', '/api/v1/namespaces', { metadata: { name } });
  }
});

afterAll(() => cluster.stop());

async function applyOurs(): Promise<void> {
  for (const [name, text] of crdFiles()) {
    if (name.startsWith('cilium')) await cluster.applyDefinitions(text);
    else await cluster.apply(text);
  }
  // The rule beside a CRD is in force some time after it is there.
  await until(async () => {
    const object = slip();
    return (await tried(object)).status !== 201;
  }, 60_000);
}

function slip(): AnyObject {
  const [sample] = writtenPolicies();
  const object = structuredClone(sample?.object);
  object.spec.ingres = [];
  return object;
}

function tried(object: AnyObject, more = ''): Promise<{ status: number; object: AnyObject }> {
  return cluster.ask('POST', `${pathOf(object)}?dryRun=All${more}`, object);
}

/** As kubectl sends it. */
function triedStrictly(object: AnyObject): Promise<{ status: number; object: AnyObject }> {
  return tried(object, '&fieldValidation=Strict');
}

describe('our CRDs', () => {
  it('are structural and served, under the names that users know', async () => {
    const { object } = await cluster.ask(
      'GET',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    );
    for (const { status } of object.items) {
      const types = status.conditions.map((one: AnyObject) => `${one.type}=${one.status}`);
      expect(types.toSorted()).toEqual(['Established=True', 'NamesAccepted=True']);
    }
    for (const name of ['cnp', 'ciliumnp', 'ccnp', 'ccg', 'ciliumpolicy']) {
      expect(await cluster.kubectl(['get', name, '-A'])).toBe('');
    }
  });

  it('show whether a policy is valid, and a status changes nothing else', async () => {
    const object = (writtenPolicies()[0] as Sample).object;
    await cluster.ask('POST', pathOf(object), object);
    const path = `${pathOf(object)}/${object.metadata.name}`;
    const conditions = [{ type: 'Valid', status: 'False', message: 'no', reason: 'Refused' }];
    const patch = { spec: { ingress: [] }, status: { conditions } };
    const type = 'application/merge-patch+json';
    const patched = await cluster.ask('PATCH', `${path}/status`, patch, type);
    expect(patched.object.metadata.generation).toBe(1);
    expect(patched.object.spec).toEqual(withoutNulls(object.spec));
    const shown = await cluster.kubectl(['get', 'cnp', '-n', object.metadata.namespace]);
    expect(shown).toMatch(/^NAME +AGE +VALID\n\S+ +\S+ +False\n$/);
    await cluster.ask('DELETE', path);
  });

  it('serve CIDR groups in both versions', async () => {
    const metadata = { name: 'both' };
    const spec = { externalCIDRs: ['10.0.0.0/8'] };
    const old = { apiVersion: 'cilium.io/v2alpha1', kind: 'CiliumCIDRGroup', metadata, spec };
    expect((await cluster.ask('POST', pathOf(old), old)).status).toBe(201);
    const path = '/apis/cilium.io/v2/ciliumcidrgroups/both';
    expect((await cluster.ask('GET', path)).object.spec).toEqual(spec);
  });

  it('take what `check` takes and keep all of it, and refuse what it refuses', async () => {
    const random = new SeededRandom(SEED);
    const written = writtenPolicies();
    const samples = [
      ...written,
      ...wrongPolicies(),
      ...Array.from({ length: MUTATED_COUNT }, () => {
        const { about, object } = random.pick(written);
        return { about: `mutated ${about}`, object: mutated(object, written, random) };
      }),
    ];
    const differences: string[] = [];
    let [taken, refused] = [0, 0];
    for (const [index, difference] of (await inTurns(samples, compared)).entries()) {
      if (difference !== null) differences.push(difference);
      else if (saidByCheck((samples[index] as Sample).object).length === 0) taken++;
      else refused++;
    }
    expect(differences, `seed ${SEED}`).toEqual([]);
    expect(taken).toBeGreaterThan(300);
    expect(refused).toBeGreaterThan(300);
  }, 400_000);

  it('never take what those of Cilium refuse', async () => {
    const random = new SeededRandom(SEED);
    const written = writtenPolicies();
    const samples = [
      ...written,
      ...wrongPolicies(),
      ...Array.from({ length: MUTATED_COUNT }, () => ({
        about: 'mutated',
        object: mutated(random.pick(written).object, written, random),
      })),
    ];
    const asked = ({ object }: Sample) => triedStrictly(object);
    const ours = await inTurns(samples, asked);
    await applyCilium();
    const theirs = await inTurns(samples, asked);
    const wrong: string[] = [];
    for (const [index, { about, object }] of samples.entries()) {
      const said = theirs[index];
      if (said?.status !== 201 && ours[index]?.status === 201) {
        wrong.push(`${about}: ${JSON.stringify(object)}: ${said?.object.message}`);
      }
    }
    expect(wrong, `seed ${SEED}`).toEqual([]);
  }, 400_000);
});

/** A few at once. The answers are in the order of the questions. */
async function inTurns<Answer>(
  samples: readonly Sample[],
  ask: (sample: Sample) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < samples.length) {
      const index = next++;
      answers[index] = await ask(samples[index] as Sample);
    }
  };
  await Promise.all(Array.from({ length: LANE_COUNT }, lane));
  return answers;
}

/** What `check` and the API server do not agree on; null when they do. */
async function compared({ about, object }: Sample): Promise<string | null> {
  const said = saidByCheck(object);
  const { status, object: answer } = await tried(object);
  const isTaken = status === 201;
  const told = `${about}: ${JSON.stringify(object)}`;
  if (!isTaken) return said.length > 0 ? null : `${told}: refused: ${answer.message ?? status}`;
  if (said.length > 0) {
    const isKnown = said.some((text) => ONLY_CHECK.some((known) => known.test(text)));
    return isKnown ? null : `${told}: taken, but check says ${said[0]}`;
  }
  for (const field of ['spec', 'specs']) {
    if (!isDeepStrictEqual(answer[field], withoutNulls(object[field]))) {
      return `${told}: kept only ${JSON.stringify(answer[field])}`;
    }
  }
  return null;
}

async function applyCilium(): Promise<void> {
  const version = /cilium\/cilium (v\S+)/.exec(
    readFileSync(join(GO_FOLDER, 'go.mod'), 'utf8'),
  )?.[1];
  const listed = execFileSync(
    process.env['GO'] ?? 'go',
    ['mod', 'download', '-json', `${CILIUM}@${version}`],
    { cwd: GO_FOLDER, encoding: 'utf8' },
  );
  const folder = join(JSON.parse(listed).Dir, 'pkg/k8s/apis/cilium.io/client/crds/v2');
  await cluster.kubectl(['delete', 'validatingadmissionpolicybindings', '--all']);
  for (const name of crdFiles().keys()) {
    if (name.startsWith('cilium')) {
      await cluster.applyDefinitions(readFileSync(join(folder, name), 'utf8'));
    }
  }
  await until(async () => (await tried(slip())).status === 201, 60_000);
}
