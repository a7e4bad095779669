/**
 * Why a request's value nearly matched: only its query, its port, its case or a slash at the end is in
 * the way. Tried on the matcher itself, so that what is said is true of it.
 */
import { plainHead, type RequestHead } from '../../model/request_head.ts';
import { MATCH_YES } from './regex.ts';
import { asciiLower, type CompiledMatcher, evaluateMatcher, type HeadView } from './value_match.ts';

/** Null: it is something else. */
export function valueHint(matcher: CompiledMatcher, head: RequestHead): string | null {
  for (const { hint, changed } of attempts(matcher.source.name, head)) {
    if (changed !== null && evaluateMatcher(matcher, viewOf(changed)) === MATCH_YES) return hint;
  }
  return null;
}

interface Attempt {
  readonly hint: string;
  /** Null when there is nothing to change. */
  readonly changed: RequestHead | null;
}

function attempts(name: string, head: RequestHead): Attempt[] {
  switch (name) {
    case ':path':
      return pathAttempts(head);
    case ':method':
      return [attempt('it would match in upper case', head, { method: head.method.toUpperCase() })];
    case ':authority': {
      const authority = head.authority.replace(/:[0-9]+$/, '');
      return [
        attempt('it would match without the port', head, { authority }),
        attempt('it would match in lower case', head, { authority: asciiLower(head.authority) }),
        attempt('it would match in lower case and without the port', head, {
          authority: asciiLower(authority),
        }),
      ];
    }
    default:
      return [];
  }
}

function pathAttempts(head: RequestHead): Attempt[] {
  const [path = '', ...rest] = head.path.split('?');
  const query = rest.length === 0 ? '' : `?${rest.join('?')}`;
  const isSlashed = path.endsWith('/') && path.length > 1;
  const other = isSlashed ? path.slice(0, -1) : `${path}/`;
  const slash = isSlashed ? 'without the slash at its end' : 'with a slash at its end';
  return [
    attempt('it would match without its query', head, { path }),
    attempt(`it would match ${slash}`, head, { path: `${other}${query}` }),
    attempt(`it would match ${slash} and without its query`, head, { path: other }),
    attempt('it would match in lower case', head, { path: asciiLower(head.path) }),
  ];
}

function attempt(
  hint: string,
  head: RequestHead,
  change: { readonly path?: string; readonly method?: string; readonly authority?: string },
): Attempt {
  const { path, method, authority } = { ...headParts(head), ...change };
  const isSame = path === head.path && method === head.method && authority === head.authority;
  return { hint, changed: isSame ? null : plainHead({ path, method, authority }) };
}

function headParts({ path, method, authority }: RequestHead) {
  return { path, method, authority };
}

function viewOf(head: RequestHead): HeadView {
  return { head, field: () => null, fieldBytes: () => new Uint8Array() };
}
