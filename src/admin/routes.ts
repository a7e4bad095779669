/**
 * What the admin server answers, one entry a path. A route is given the parsed request and gives a
 * reply; it writes nothing itself.
 */

import { jsonDocument } from '../model/json_document.ts';
import { NAME_SOURCES } from '../model/name_row.ts';
import { METRICS_CONTENT_TYPE } from '../observe/metrics/hub.ts';
import { fqdnPatternProblem } from '../policy/match/fqdn_pattern.ts';
import { type JsonResult, parseJson } from '../text/json_value.ts';
import type { AdminBackend } from './backend.ts';
import { flowsReply } from './flows_route.ts';
import { metricsInHand } from './metrics_in_hand.ts';
import {
  type AdminReply,
  type AdminRequest,
  errorReply,
  jsonReply,
  jsonTextReply,
  textReply,
} from './reply.ts';
import { statusReport } from './status_report.ts';

export interface Route {
  readonly about: string;
  /** HEAD goes with GET. */
  readonly methods: readonly string[];
  answer(request: AdminRequest, backend: AdminBackend): AdminReply | Promise<AdminReply>;
}

export const ROUTES: ReadonlyMap<string, Route> = new Map(
  Object.entries({
    '/': get('this list', () => jsonReply(200, index())),
    '/healthz/live': get(
      '200 while any worker gives signs of life; else 503 and why',
      (_, backend) => liveReply(backend),
    ),
    '/healthz/ready': get(
      '200 when every listener is bound and a policy set is in force; else 503 and why',
      (_, backend) => readyReply(backend),
    ),
    '/metrics': get('Prometheus metrics, summed over workers', (_, backend) =>
      metricsReply(backend),
    ),
    '/status': get('what `sallyport status` shows', (_, backend) => statusReply(backend)),
    '/policies': get(
      'the policy set in force; ?format=text prints every rule',
      (request, backend) => policiesReply(request, backend),
    ),
    '/policies/hits': get('how often each rule decided and when last, unused rules first', (_, b) =>
      hitsReply(b),
    ),
    '/fqdn/cache': get(
      'addresses that DNS answers gave to names; ?endpoint=NAME, ?matchpattern=PATTERN, ?source=lookup',
      (request, backend) => namesReply(request, backend),
    ),
    '/flows': get(
      'what happened, one JSON line a flow: ?follow=true from now on, ?last=N of those that are kept',
      (request, backend) => flowsReply(request, backend),
    ),
    '/explain': {
      about:
        'POST a request (the JSON of `sallyport verdict`), or GET ?request=JSON: verdict and why',
      methods: ['GET', 'POST'],
      answer: explainReply,
    },
    '/drain': {
      about: 'POST: stop accepting, finish what is open, end',
      methods: ['POST'],
      answer: (_: AdminRequest, backend: AdminBackend) => {
        backend.drain();
        return jsonReply(202, { draining: true });
      },
    },
    '/logging': {
      about: 'the log level; POST or PUT ?level=debug, or {"level":"debug"}, sets it',
      methods: ['GET', 'POST', 'PUT'],
      answer: loggingReply,
    },
    '/version': get('what is running', (_, backend) =>
      jsonReply(200, jsonDocument('Version', backend.version())),
    ),
    '/config': get('the configuration in effect', (_, backend) =>
      jsonReply(200, jsonDocument('Config', backend.config())),
    ),
  } satisfies Record<string, Route>),
);

function get(about: string, answer: Route['answer']): Route {
  return { about, methods: ['GET'], answer };
}

function index(): unknown {
  return Object.fromEntries([...ROUTES].map(([path, { about }]) => [path, about]));
}

function liveReply(backend: AdminBackend): AdminReply {
  const liveness = backend.liveness();
  return liveness.isLive ? textReply(200, 'live\n') : textReply(503, `${liveness.reason}\n`);
}

function readyReply(backend: AdminBackend): AdminReply {
  const readiness = backend.readiness();
  return readiness.isReady ? textReply(200, 'ready\n') : textReply(503, `${readiness.reason}\n`);
}

async function metricsReply(backend: AdminBackend): Promise<AdminReply> {
  const metrics = await metricsInHand(backend);
  return { status: 200, contentType: METRICS_CONTENT_TYPE, body: await metrics.text() };
}

async function statusReply(backend: AdminBackend): Promise<AdminReply> {
  return jsonReply(200, jsonDocument('Status', await statusReport(backend)));
}

async function policiesReply(request: AdminRequest, backend: AdminBackend): Promise<AdminReply> {
  const format = request.query.get('format') ?? 'json';
  if (format === 'text') return textReply(200, await backend.printPolicies('text'));
  if (format !== 'json') return errorReply(400, 'format must be json or text');
  return jsonTextReply(200, await backend.printPolicies('json'));
}

async function hitsReply(backend: AdminBackend): Promise<AdminReply> {
  const metrics = await metricsInHand(backend);
  const { revision } = backend.policySet();
  return jsonReply(200, jsonDocument('PolicyHits', { revision, rules: metrics.ruleHits() }));
}

async function namesReply({ query }: AdminRequest, backend: AdminBackend): Promise<AdminReply> {
  const text = query.get('source');
  const source = NAME_SOURCES.find((known) => known === text) ?? null;
  if (text !== null && source === null) {
    return errorReply(400, `source must be one of ${NAME_SOURCES.join(', ')}`);
  }
  const matchPattern = query.get('matchpattern');
  const problem = matchPattern === null ? null : fqdnPatternProblem(matchPattern);
  if (problem !== null) return errorReply(400, `matchpattern: ${problem}`);
  const filter = { endpoint: query.get('endpoint'), matchPattern, source };
  return jsonTextReply(200, await backend.listNames(filter));
}

async function explainReply(request: AdminRequest, backend: AdminBackend): Promise<AdminReply> {
  const text = request.method === 'POST' ? request.body : (request.query.get('request') ?? '');
  const question = parseJson(text, backend.documentLimits());
  if (question.kind === 'error') {
    const how = 'the request to explain must be JSON: POST it, or GET ?request=JSON';
    return errorReply(400, `${how} (${question.message})`);
  }
  const answer = await backend.explain(question.value);
  if (answer.kind === 'error') return errorReply(400, answer.message);
  return jsonTextReply(200, answer.json);
}

function loggingReply(request: AdminRequest, backend: AdminBackend): AdminReply {
  if (request.method === 'POST' || request.method === 'PUT') {
    const level =
      request.query.get('level') ?? levelOf(parseJson(request.body, backend.documentLimits()));
    if (level === null) return errorReply(400, 'give ?level=LEVEL or {"level":"LEVEL"}');
    if (!backend.setLogLevel(level)) return errorReply(400, `no such log level: ${level}`);
  }
  return jsonReply(200, jsonDocument('Logging', { level: backend.logLevel() }));
}

function levelOf(json: JsonResult): string | null {
  if (json.kind === 'error') return null;
  const { value } = json;
  if (typeof value !== 'object' || value === null || !('level' in value)) return null;
  return typeof value.level === 'string' ? value.level : null;
}
