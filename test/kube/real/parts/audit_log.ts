/** Which requests came, as the API server itself wrote down: who, what, and what was answered. */
import { readFileSync } from 'node:fs';

export interface AuditedRequest {
  /** "system:serviceaccount:sallyport:sallyport". */
  readonly user: string;
  /** "get", "list", "watch", "create", "update", "patch", "delete". */
  readonly verb: string;
  /** With the subresource: "ciliumnetworkpolicies/status"; "" for what is no resource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly uri: string;
  readonly code: number;
}

/** Of requests that have been answered; a watch that goes on is not among them. */
export const AUDIT_POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules: [{ level: Metadata }]
`;

const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

export class AuditLog {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  requests(): readonly AuditedRequest[] {
    const text = readFileSync(this.#path, 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => requestOf(JSON.parse(line)));
  }

  /** Requests that change something, of users whose name has this ending. */
  writes(userEnding = ''): readonly AuditedRequest[] {
    return this.requests().filter(
      ({ verb, user }) => WRITES.has(verb) && user.endsWith(userEnding),
    );
  }
}

interface AuditLine {
  readonly verb: string;
  readonly requestURI: string;
  readonly user?: { readonly username?: string };
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

function requestOf({
  verb,
  requestURI,
  user,
  objectRef,
  responseStatus,
}: AuditLine): AuditedRequest {
  const { resource = '', subresource, namespace = '', name = '' } = objectRef ?? {};
  return {
    user: user?.username ?? '',
    verb,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace,
    name,
    uri: requestURI,
    code: responseStatus?.code ?? 0,
  };
}
