/** The health protocol of gRPC: `hubble status` asks it first. */
import { create, type Message } from '@bufbuild/protobuf';
import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from '../generated/health/health_pb.ts';

/** While it answers, all of it serves. */
export function healthMethods(services: readonly string[]): UntypedServiceImplementation {
  const isKnown = (service: string): boolean => service === '' || services.includes(service);
  return {
    Check: (
      { request }: ServerUnaryCall<HealthCheckRequest, Message>,
      done: sendUnaryData<Message>,
    ) => {
      if (isKnown(request.service)) done(null, answer(Serving.SERVING));
      else done({ code: status.NOT_FOUND, details: 'unknown service' });
    },
    Watch: (call: ServerWritableStream<HealthCheckRequest, Message>) => {
      const { service } = call.request;
      call.write(answer(isKnown(service) ? Serving.SERVING : Serving.SERVICE_UNKNOWN));
    },
  };
}

function answer(serving: Serving): Message {
  return create(HealthCheckResponseSchema, { status: serving });
}
