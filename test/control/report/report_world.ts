/** An API server with policies, Events and one Lease, and processes that report to it. */
import type { ObjectRef } from '../../../src/control/decode/policy_object.ts';
import { PolicyReport } from '../../../src/control/report/policy_report.ts';
import type { RefusedDocument, StandIn } from '../../../src/control/set/policy_input.ts';
import type { KubeReply, KubeRequest } from '../../../src/kube/client.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';
import { settled } from '../../support/settled.ts';

const STEP_MS = 250;

// biome-ignore lint/suspicious/noExplicitAny: objects of the API, as JSON
type Json = any;

export interface Refusal {
  readonly status: number;
  readonly message?: string;
  readonly retryAfterMs?: number;
}

export class ReportWorld {
  readonly platform = new ManualPlatform();
  readonly reporters: Reporter[] = [];
  readonly writes: KubeRequest[] = [];
  /** By path. */
  readonly objects = new Map<string, Json>();
  /** What is answered instead, if it is not null. */
  refuse: (request: KubeRequest) => Refusal | null = () => null;
  /** A definition that does not know `observedGeneration`. */
  isPruned = false;
  #version = 100;

  add(name = `node-${this.reporters.length}`): Reporter {
    const reporter = new Reporter(this, name);
    this.reporters.push(reporter);
    return reporter;
  }

  async pass(byMs: number, stepMs = STEP_MS): Promise<void> {
    for (let passedMs = 0; passedMs < byMs; passedMs += stepMs) {
      this.platform.advance(stepMs);
      await settled();
    }
  }

  /** As a user applies it; every reporter sees it and takes it, or refuses it (`problems`). */
  apply(name: string, fields: { spec?: object; status?: object; kind?: string } = {}): Json {
    const { kind = 'CiliumNetworkPolicy', spec = {}, status } = fields;
    const path = pathOf(kind, name);
    const before = this.objects.get(path);
    const isSame = JSON.stringify(before?.spec) === JSON.stringify(spec);
    const generation = (before?.metadata.generation ?? 0) + (isSame ? 0 : 1);
    const uid = before?.metadata.uid ?? `uid-${name}`;
    const metadata = { namespace: 'shop', name, uid, generation };
    const object = { kind, metadata, spec, status: status ?? before?.status };
    this.store(path, object);
    return object;
  }

  store(path: string, object: Json): void {
    this.#version += 1;
    object.metadata.resourceVersion = `${this.#version}`;
    this.objects.set(path, object);
    if (!path.includes('ciliumnetworkpolicies')) return;
    for (const reporter of this.reporters) reporter.see(object);
  }

  conditions(name: string): Json[] {
    return this.objects.get(pathOf('CiliumNetworkPolicy', name))?.status?.conditions ?? [];
  }

  get statusWrites(): readonly KubeRequest[] {
    return this.writes.filter(({ path }) => path.endsWith('/status'));
  }

  get events(): readonly Json[] {
    return [...this.objects].filter(([path]) => path.includes('/events/')).map(([, one]) => one);
  }

  answer(request: KubeRequest): KubeReply {
    const refusal = this.refuse(request);
    if (refusal !== null) return refused(refusal);
    const { method, path } = request;
    const isLease = path.includes('/leases');
    if (method !== 'GET' && !isLease) this.writes.push(request);
    if (method === 'POST') return this.#created(path, request.body as Json);
    const target = path.replace(/\/status$/, '');
    const stored = this.objects.get(target);
    if (stored === undefined) return refused({ status: 404 });
    if (method === 'GET') return { kind: 'ok', status: 200, object: stored };
    const patch = structuredClone(request.body) as Json;
    const wanted = patch.metadata?.resourceVersion;
    if (wanted !== undefined && wanted !== stored.metadata.resourceVersion) {
      return refused({ status: 409 });
    }
    if (this.isPruned) {
      for (const condition of patch.status?.conditions ?? []) delete condition.observedGeneration;
    }
    const merged = { ...stored, ...patch, spec: { ...stored.spec, ...patch.spec } };
    this.store(target, { ...merged, metadata: { ...stored.metadata } });
    return { kind: 'ok', status: 200, object: structuredClone(this.objects.get(target)) };
  }

  #created(path: string, body: Json): KubeReply {
    const target = `${path}/${body.metadata.name}`;
    if (this.objects.has(target)) return refused({ status: 409 });
    this.store(target, structuredClone(body));
    return { kind: 'ok', status: 201, object: body };
  }
}

export class Reporter {
  readonly report: PolicyReport;
  readonly problems: string[] = [];
  isElected = false;
  unwrittenCount = 0;
  isCut = false;
  /** By name of the policy: why it is refused. */
  readonly refusals = new Map<string, RefusedDocument>();

  constructor(world: ReportWorld, name: string) {
    this.report = new PolicyReport({
      client: {
        request: async (request) =>
          this.isCut ? { kind: 'unreachable', message: 'cut' } : world.answer(request),
      },
      platform: world.platform,
      limits: DEFAULT_LIMITS,
      random: () => 0.5,
      nodeName: name,
      processId: 'process',
      namespace: 'sallyport',
      events: {
        onElected: (isElected) => {
          this.isElected = isElected;
        },
        onProblem: (problem) => this.problems.push(problem),
        onUnwritten: (count) => {
          this.unwrittenCount = count;
        },
      },
    });
    this.report.start();
  }

  see(object: Json): void {
    this.report.put(refOf(object), structuredClone(object));
    this.offer();
  }

  /** Refuses the policy from now on, or takes it (null). */
  judge(name: string, message: string | null, inForce: StandIn = 'absent', kind?: string): void {
    const ref = refOf({ kind, metadata: { namespace: 'shop', name, uid: `uid-${name}` } });
    const place = { kind: 'object', ...ref, field: '' } as const;
    if (message === null) this.refusals.delete(name);
    else {
      const problems = [{ place, field: 'spec.ingress[0]', message }];
      this.refusals.set(name, { place, problems, inForce });
    }
    this.offer();
  }

  offer(): void {
    this.report.taken();
    this.report.inForce([...this.refusals.values()]);
  }
}

function refOf({ kind = 'CiliumNetworkPolicy', metadata }: Json): ObjectRef {
  const { namespace, name, uid } = metadata;
  return { apiKind: kind, namespace, name, uid };
}

function pathOf(kind: string, name: string): string {
  const group = kind === 'NetworkPolicy' ? 'networking.k8s.io/v1' : 'cilium.io/v2';
  const plural = kind === 'NetworkPolicy' ? 'networkpolicies' : 'ciliumnetworkpolicies';
  return `/apis/${group}/namespaces/shop/${plural}/${name}`;
}

function refused({ status, message = '', retryAfterMs }: Refusal): KubeReply {
  return { kind: 'refused', status, reason: '', message, retryAfterMs: retryAfterMs ?? null };
}
