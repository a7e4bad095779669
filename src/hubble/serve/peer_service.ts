/** The service Peer, by which a relay finds nodes: this one. */
import { create, type Message } from '@bufbuild/protobuf';
import type { ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { ChangeNotificationSchema, ChangeNotificationType } from '../generated/peer/peer_pb.ts';

export interface PeerOptions {
  readonly name: string;
  /** "" when no relay reaches it. */
  readonly address: string;
  /** Null: it speaks plain text. */
  readonly tlsName: string | null;
}

/** The stream stays open: a relay that reads its end asks again. */
export function peerMethods({ name, address, tlsName }: PeerOptions): UntypedServiceImplementation {
  const own = create(ChangeNotificationSchema, {
    ...{ name, address },
    type: ChangeNotificationType.PEER_ADDED,
    ...(tlsName === null ? {} : { tls: { serverName: tlsName } }),
  });
  return {
    Notify: (call: ServerWritableStream<Message, Message>) => {
      call.write(own);
    },
  };
}

/** By which certificates name a node's server (hubble-grpc.cilium.io). */
export function serverNameOf(node: string, cluster: string): string {
  const labelOf = (name: string): string => name.replaceAll('.', '-');
  return `${labelOf(node)}.${labelOf(cluster)}.hubble-grpc.cilium.io`;
}
