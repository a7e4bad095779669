/**
 * A process that reports on policies to a real API server and does nothing else: it lists them often, and refuses those
 * with the label `bad`. Lines on stdout: "elected", "over", "problem ...".
 *
 *     node reporter_main.ts KUBECONFIG NODE [WALL_SKEW_MS]
 */

import { PolicyReport } from '../../../../src/control/report/policy_report.ts';
import type { RefusedDocument } from '../../../../src/control/set/policy_input.ts';
import { loadAccess } from '../../../../src/kube/access/load_access.ts';
import { ApiClient } from '../../../../src/kube/api_client.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import { nodePlatform } from '../../../../src/platform/node_platform.ts';

const LIST_MS = 250;
const CNPS = '/apis/cilium.io/v2/ciliumnetworkpolicies';

const [kubeconfig = '', nodeName = '', skew = '0'] = process.argv.slice(2);
const real = nodePlatform();
const { clock, timers } = real;
const platform = {
  ...real,
  clock: { nowMs: () => clock.nowMs(), wallMs: () => clock.wallMs() + Number(skew) },
};
const limits = { ...DEFAULT_LIMITS, kubeLeaseLookMs: 2_000 };
const found = loadAccess({ kubeconfig, context: null, env: {}, home: null, clock, limits });
if (found.kind === 'error') throw new Error(found.message);
const client = new ApiClient(found.access, { platform, limits, userAgent: 'sallyport/test' });
const report = new PolicyReport({
  client,
  platform,
  limits,
  random: () => process.pid / 2 ** 22,
  nodeName,
  processId: `${process.pid}`,
  namespace: 'sallyport',
  events: {
    onElected: (isElected) => console.log(isElected ? 'elected' : 'over'),
    onUnwritten: () => {},
    onProblem: (problem) => console.log(`problem ${problem}`),
  },
});
report.start();
await list();

interface Item {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

async function list(): Promise<void> {
  const reply = await client.request({ method: 'GET', path: CNPS });
  if (reply.kind === 'ok') {
    const { items } = reply.object as { readonly items: readonly Item[] };
    const refused: RefusedDocument[] = [];
    for (const item of items) {
      const { namespace, name, uid, labels } = item.metadata;
      const ref = { apiKind: 'CiliumNetworkPolicy', namespace, name, uid };
      report.put(ref, item);
      const place = { kind: 'object', ...ref, field: '' } as const;
      const message = labels?.['bad'];
      if (message === undefined) continue;
      refused.push({ place, problems: [{ place, field: 'spec', message }], inForce: 'absent' });
    }
    report.taken();
    report.inForce(refused);
  }
  timers.after(LIST_MS, list);
}
