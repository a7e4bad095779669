/**
 * What becomes of path parameters (";x=1", RFC 3986 3.3) that hide no dot segment. Rules see them; servers that
 * know them cut them off first (CVE-2026-73511).
 */
export const PATH_PARAMETER_ACTIONS = ['keep', 'refuse'] as const;

export type PathParameterAction = (typeof PATH_PARAMETER_ACTIONS)[number];
