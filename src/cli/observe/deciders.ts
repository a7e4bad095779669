/** Which policy and rule decided a flow, as it tells itself; and what a policy in dry-run would have done. */
import { type Any, anyUnpack, StructSchema } from '@bufbuild/protobuf/wkt';
import { messageJson } from '../../hubble/flow/flow_json.ts';
import { type Flow, type Policy, Verdict } from '../../hubble/generated/flow/flow_pb.ts';

/** Of `Policy.labels`: Hubble has no field for the place of a rule in its policy. */
const RULE_LABEL = 'sallyport:rule=';

export interface Decider {
  readonly verdict: 'allowed' | 'denied';
  readonly direction: 'ingress' | 'egress';
  /** "namespace/name", or "name"; "NetworkPolicy namespace/name" of a kind that is not Cilium's, as everywhere else. */
  readonly policy: string;
  /** "" when it is not told. */
  readonly rule: string;
}

export function decidersOf(flow: Flow): readonly Decider[] {
  const list = (
    policies: readonly Policy[],
    verdict: Decider['verdict'],
    direction: Decider['direction'],
  ): Decider[] =>
    policies.map(({ namespace, name, kind, labels }) => ({
      verdict,
      direction,
      policy: `${kindText(kind)}${namespace === '' ? name : `${namespace}/${name}`}`,
      rule: labels.find((label) => label.startsWith(RULE_LABEL))?.slice(RULE_LABEL.length) ?? '',
    }));
  return [
    ...list(flow.egressDeniedBy, 'denied', 'egress'),
    ...list(flow.ingressDeniedBy, 'denied', 'ingress'),
    ...list(flow.egressAllowedBy, 'allowed', 'egress'),
    ...list(flow.ingressAllowedBy, 'allowed', 'ingress'),
  ];
}

function kindText(kind: string): string {
  return kind === '' || kind.startsWith('Cilium') ? '' : `${kind} `;
}

export interface Choice {
  /** Any of them, by any of its rules; empty: any. */
  readonly policies: readonly string[];
  readonly rules: readonly string[];
  readonly isDeniedInDryRun: boolean;
}

export function isChosen(flow: Flow, { policies, rules, isDeniedInDryRun }: Choice): boolean {
  if (isDeniedInDryRun && !isDryRunDenial(flow)) return false;
  if (policies.length === 0 && rules.length === 0) return true;
  return decidersOf(flow).some(
    ({ policy, rule }) =>
      (policies.length === 0 || policies.includes(policy)) &&
      (rules.length === 0 || rules.some((one) => isWithin(rule, one))),
  );
}

/** "ingress[0].toPorts[1]" is within "ingress[0]", and "ingress[10]" is not. */
function isWithin(rule: string, outer: string): boolean {
  return rule === outer || rule.startsWith(`${outer}.`) || rule.startsWith(`${outer}[`);
}

function isDryRunDenial(flow: Flow): boolean {
  return flow.verdict === Verdict.AUDIT || dryRunOf(extras(flow.extensions))?.verdict === 'deny';
}

/** Lines for `--why`; none for an answer, which nobody judges. */
export function whyLines(flow: Flow): readonly string[] {
  const more = extras(flow.extensions);
  const dryRun = dryRunOf(more);
  const lines = [
    ...decidersOf(flow).map(
      ({ verdict, direction, policy, rule }) =>
        `${verdict} at ${direction} by ${policy}${rule === '' ? '' : `, rule ${rule}`}`,
    ),
    ...reasonLines(more),
    ...headerLines(more, 'missingHeaders', 'asked for, and not there'),
    ...headerLines(more, 'rejectedHeaders', 'there, and refused'),
    ...(dryRun === null ? [] : [dryRunLine(dryRun)]),
    ...faultLines(more),
  ];
  return flow.isReply === true ? [] : lines;
}

type Extras = Readonly<Record<string, unknown>>;

/** What our own proxies tell besides; nothing of others. */
function extras(extensions: Any | undefined): Extras {
  if (extensions === undefined) return {};
  const struct = anyUnpack(extensions, StructSchema);
  return struct === undefined ? {} : messageJson(StructSchema, struct);
}

function reasonLines({ reason, layer, endpoint }: Extras): string[] {
  if (typeof reason !== 'string') return [];
  const at = typeof layer === 'string' ? `, layer ${layer}` : '';
  const whose = typeof endpoint === 'string' ? `, policy of ${endpoint}` : '';
  return [`reason ${reason}${at}${whose}`];
}

function headerLines(more: Extras, field: string, words: string): string[] {
  const listed = more[field];
  if (!Array.isArray(listed)) return [];
  return listed.filter(isFields).map(({ name, value }) => `${words}: ${name}: ${value}`);
}

interface DryRun {
  readonly verdict: string;
  readonly by: string;
}

function dryRunOf({ dryRun }: Extras): DryRun | null {
  if (!isFields(dryRun)) return null;
  const { verdict, policy, rule } = dryRun;
  const by = [policy, rule].filter((text) => typeof text === 'string').join(', rule ');
  return { verdict: String(verdict), by };
}

function dryRunLine({ verdict, by }: DryRun): string {
  return `with policies in dry-run: ${verdict}${by === '' ? '' : ` by ${by}`}`;
}

function faultLines({ fault, detail, blame }: Extras): string[] {
  if (typeof fault !== 'string') return [];
  const more = [detail, blame].filter((text) => typeof text === 'string');
  return [`fault ${fault}${more.length === 0 ? '' : ` (${more.join(', ')})`}`];
}

function isFields(value: unknown): value is Extras {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
