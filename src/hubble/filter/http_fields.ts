import type { CompileSearch } from '../../regex/search.ts';
import type {
  FlowFilter,
  HTTP,
  HTTPHeader,
  Flow as HubbleFlow,
} from '../generated/flow/flow_pb.ts';
import { BadFilterError } from './bad_filter.ts';
import type { FlowTest } from './flow_test.ts';
import { searches } from './searches.ts';

/** Of an access log: Cilium's monitor (pkg/monitor/api). */
const EVENT_L7 = 129;
const STATUS = /^[1-5][0-9]{2}$/;
const STATUS_PREFIX = /^[1-5][0-9]?\+$/;
const STATUS_DIGITS = 3;
/** Path of a URL as it stands in a flow: what is before "?" and behind the authority. */
const URL_PATH = /^(?:[a-zA-Z][-+.0-9a-zA-Z]*:\/\/[^/?]*)?(\/[^?]*)?(?:\?.*)?$/s;
const BROKEN_ESCAPE = /%(?![0-9a-fA-F]{2})/;

export const HTTP_TESTS = {
  httpStatusCode: (texts: readonly string[], _: CompileSearch, filter: FlowFilter): FlowTest => {
    checkEvents(filter, 'status code');
    return statusTest(texts);
  },
  httpMethod: (methods: readonly string[], _: CompileSearch, filter: FlowFilter): FlowTest => {
    checkEvents(filter, 'method');
    const wanted = new Set(methods.map((method) => method.toLowerCase()));
    return (flow) => {
      const method = httpOf(flow)?.method ?? '';
      return method !== '' && wanted.has(method.toLowerCase());
    };
  },
  httpPath: (patterns: readonly string[], compile: CompileSearch, filter: FlowFilter): FlowTest => {
    checkEvents(filter, 'path');
    const isWanted = searches(patterns, compile);
    return (flow) => {
      const path = pathOf(httpOf(flow)?.url ?? '');
      return path !== null && isWanted(path);
    };
  },
  httpUrl: (patterns: readonly string[], compile: CompileSearch, filter: FlowFilter): FlowTest => {
    checkEvents(filter, 'url');
    const isWanted = searches(patterns, compile);
    return (flow) => {
      const url = httpOf(flow)?.url ?? '';
      return url !== '' && isWanted(url);
    };
  },
  httpHeader: (headers: readonly HTTPHeader[], _: CompileSearch, filter: FlowFilter): FlowTest => {
    checkEvents(filter, 'headers');
    return (flow) =>
      (httpOf(flow)?.headers ?? []).some((own) =>
        headers.some(({ key, value }) => key === own.key && value === own.value),
      );
  },
};

function checkEvents({ eventType }: FlowFilter, what: string): void {
  if (eventType.length === 0 || eventType.some(({ type }) => type === EVENT_L7)) return;
  throw new BadFilterError(
    `filtering by http ${what} requires the event type filter to only match 'l7' events`,
  );
}

function statusTest(texts: readonly string[]): FlowTest {
  const whole = new Set(texts.filter((text) => STATUS.test(text)));
  const prefixes: string[] = [];
  for (const text of texts) {
    if (STATUS_PREFIX.test(text)) prefixes.push(text.slice(0, -1));
    else if (!whole.has(text)) throw new BadFilterError(`invalid status code prefix: "${text}"`);
  }
  return (flow) => {
    const code = httpOf(flow)?.code ?? 0;
    if (code === 0) return false;
    const digits = String(code).padStart(STATUS_DIGITS, '0');
    return whole.has(digits) || prefixes.some((prefix) => digits.startsWith(prefix));
  };
}

function httpOf({ l7 }: HubbleFlow): HTTP | null {
  return l7?.record.case === 'http' ? l7.record.value : null;
}

/** Decoded; null where the URL is none. */
function pathOf(url: string): string | null {
  if (url === '') return null;
  const parts = URL_PATH.exec(url);
  if (parts === null) return null;
  const path = parts[1] ?? '';
  if (BROKEN_ESCAPE.test(path)) return null;
  if (!path.includes('%')) return path;
  const bytes = Buffer.from(path, 'utf8').toString('latin1');
  const decoded = bytes.replace(/%[0-9a-fA-F]{2}/g, (code) =>
    String.fromCharCode(Number.parseInt(code.slice(1), 16)),
  );
  return Buffer.from(decoded, 'latin1').toString('utf8');
}
