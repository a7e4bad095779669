/** gRPC service and method, told from the path of a request: "/package.Service/Method". */

export interface GrpcMethod {
  readonly service: string;
  readonly method: string;
}

/** Null when the path has not exactly two segments. A query is no part of it. */
export function grpcMethodOf(path: string): GrpcMethod | null {
  const question = path.indexOf('?');
  const end = question === -1 ? path.length : question;
  const slash = path.indexOf('/', 1);
  if (path.charAt(0) !== '/' || slash <= 1 || slash + 1 >= end) return null;
  const method = path.slice(slash + 1, end);
  return method.includes('/') ? null : { service: path.slice(1, slash), method };
}
