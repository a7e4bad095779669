/** A server as every one of ours is: its bounds, and health and reflection beside what it is for. */
import type { DescFile } from '@bufbuild/protobuf';
import { Server } from '@grpc/grpc-js';
import type { Limits } from '../../model/limits.ts';
import { file_health_health, Health } from '../generated/health/health_pb.ts';
import { ServerReflection } from '../generated/reflection/reflection_pb.ts';
import { healthMethods } from './health_service.ts';
import { serviceDefinition } from './method.ts';
import { reflectionMethods } from './reflection_service.ts';

const CONNECTION_IDLE_MS = 5 * 60_000;
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_ANSWER_MS = 20_000;
/** By which `hubble status` and relays ask whether the service Observer is well. */
const HEALTH_NAME = 'hubble.server.Observer';
/** As grpcurl of before asks for it; the messages are the same. */
const OLDER_REFLECTION = 'grpc.reflection.v1alpha.ServerReflection';

/** `files`: of the services that the caller adds. */
export function standardServer(limits: Limits, files: readonly DescFile[]): Server {
  const server = new Server({
    'grpc.max_receive_message_length': limits.hubbleRequestBytesMax,
    'grpc.max_concurrent_streams': limits.hubbleStreamCountMax,
    'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_ANSWER_MS,
  });
  const services = files.flatMap((file) => file.services.map(({ typeName }) => typeName));
  const reflected = reflectionMethods([...files, file_health_health]);
  server.addService(serviceDefinition(Health), healthMethods([HEALTH_NAME, ...services]));
  server.addService(serviceDefinition(ServerReflection), reflected);
  server.addService(serviceDefinition(ServerReflection, OLDER_REFLECTION), reflected);
  return server;
}
