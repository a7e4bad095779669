/** One policy in both languages: what the agent makes of these `rules.http`, an RBAC filter says in Envoy's words. */
import { cnp } from '../../support/plane_rig.ts';

interface Rule {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
}

const RULES: readonly Rule[] = [
  { path: '/public/.*' },
  { path: '/exact' },
  { method: 'GET', path: '/get/.*' },
  { path: '/host/.*', host: 'svc' },
  { path: '/one/[^/]*' },
  { path: '/s\\?.*' },
];

export const POLICY = cnp(
  `, rules: { http: [${RULES.map((rule) => JSON.stringify(rule)).join(', ')}] }`,
);

/** Whole values, as the agent's `safe_regex` matches. */
export function rbacPermissions(): readonly object[] {
  return RULES.map(({ method, path, host }) => ({
    and_rules: {
      rules: [
        ...(path === undefined ? [] : [headerRule(':path', path)]),
        ...(method === undefined ? [] : [headerRule(':method', method)]),
        ...(host === undefined ? [] : [headerRule(':authority', host)]),
      ],
    },
  }));
}

function headerRule(name: string, regex: string): object {
  return { header: { name, string_match: { safe_regex: { regex } } } };
}
