/** What a Lease (coordination.k8s.io/v1) says, and the patches that change it. Pure. */

export interface LeaseRecord {
  /** `resourceVersion`: a patch that names it is refused when somebody was faster. */
  readonly version: string;
  /** "": nobody's. */
  readonly holder: string;
  readonly durationMs: number;
  /** By the clock of the holder, which may be wrong; NaN when it does not say. */
  readonly renewedAtMs: number;
  readonly transitions: number;
}

/** A Lease without `spec` is nobody's; null: this is no Lease. */
export function leaseRecordOf(object: unknown): LeaseRecord | null {
  const version = memberOf(memberOf(object, 'metadata'), 'resourceVersion');
  if (typeof version !== 'string') return null;
  const spec = memberOf(object, 'spec');
  const holder = memberOf(spec, 'holderIdentity');
  const seconds = memberOf(spec, 'leaseDurationSeconds');
  const renewedAt = memberOf(spec, 'renewTime');
  const transitions = memberOf(spec, 'leaseTransitions');
  return {
    version,
    holder: typeof holder === 'string' ? holder : '',
    durationMs: typeof seconds === 'number' ? seconds * 1000 : 0,
    renewedAtMs: typeof renewedAt === 'string' ? Date.parse(renewedAt) : Number.NaN,
    transitions: typeof transitions === 'number' ? transitions : 0,
  };
}

export interface Claim {
  readonly holder: string;
  readonly durationMs: number;
  readonly wallMs: number;
}

/** Of a Lease that is somebody else's, or nobody's. */
export function takingSpec({ holder, durationMs, wallMs }: Claim, transitions: number): object {
  const now = microTime(wallMs);
  return {
    holderIdentity: holder,
    leaseDurationSeconds: Math.ceil(durationMs / 1000),
    acquireTime: now,
    renewTime: now,
    leaseTransitions: transitions,
  };
}

export function renewingSpec(wallMs: number): object {
  return { renewTime: microTime(wallMs) };
}

/** As client-go leaves it: whoever looks next may take it. */
export function releasingSpec(wallMs: number): object {
  return { holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(wallMs) };
}

/** Kubernetes' MicroTime has exactly six digits after the point. */
function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('Z', '000Z');
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
