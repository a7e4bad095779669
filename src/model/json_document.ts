/**
 * The JSON that the tools and the admin server give: one vocabulary, camelCase as in policies, with a version and a
 * kind, so that a script can tell what it reads (docs/json.md). A field is only added within a version.
 */
export const JSON_VERSION = 'sallyport.dev/v1';

export type DocumentKind =
  | 'Status'
  | 'ClusterStatus'
  | 'Explanation'
  | 'Findings'
  | 'Services'
  | 'FqdnCache'
  | 'Version'
  | 'RedirectStatus'
  | 'Policies'
  | 'PolicyHits'
  | 'Config'
  | 'Logging'
  | 'Flow'
  | 'LostFlows';

export type JsonDocument<T extends object> = T & {
  readonly apiVersion: typeof JSON_VERSION;
  readonly kind: DocumentKind;
};

export function jsonDocument<T extends object>(kind: DocumentKind, value: T): JsonDocument<T> {
  return { apiVersion: JSON_VERSION, kind, ...value };
}
