/** Frontends of Services, written shortly. */
import { type IpAddress, parseIp } from '../../src/model/address.ts';
import type { Port } from '../../src/model/identity.ts';
import type { ServiceBackend, ServiceFrontend } from '../../src/model/service_frontend.ts';

export const BACKEND_PORT = 8080;

export type Family = 4 | 6;

/** What a frontend is, where it matters; what is left out is a ClusterIP with TCP and without backends. */
export type FrontendParts = Partial<Omit<ServiceFrontend, 'address' | 'backends' | 'port'>> & {
  readonly address: string | null;
  readonly port: number;
  /** Indexes, see `backendIp`. */
  readonly backends?: readonly number[];
  readonly backendPort?: number;
};

export function backendIp(index: number, family: Family): string {
  return family === 4 ? `10.9.0.${index}` : `fd09::${index}`;
}

export function frontend(parts: FrontendParts): ServiceFrontend {
  const { address, port, family = 4, backends = [], backendPort = BACKEND_PORT, ...rest } = parts;
  const made = backends.map(
    (index): ServiceBackend => ({
      ...{ address: ip(backendIp(index, family)), port: backendPort as Port, nodeName: '' },
    }),
  );
  return {
    ...{ service: 'shop/web', portName: '', kind: address === null ? 'NodePort' : 'ClusterIP' },
    ...{ protocol: 'TCP', affinityMs: null, isConsistentlyHashed: false, family },
    ...rest,
    ...{ address: address === null ? null : ip(address), port: port as Port },
    ...{ backends: made, allBackends: made, servingBackends: made },
  };
}

export function ip(text: string): IpAddress {
  const address = parseIp(text);
  if (address === null) throw new Error(`"${text}" is no address`);
  return address;
}
