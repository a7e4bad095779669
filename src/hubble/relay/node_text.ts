/** A node as users write it. */
import { serverNameOf } from '../serve/peer_service.ts';
import type { RelayPeer } from './node_link.ts';

/** By which the certificate of whatever node answers is named, where it has `*` for the node. */
const ANY_NODE = 'hubble-peer';

/** `[NAME=]ADDRESS`; null when it is none. */
export function parseNode(text: string, cluster: string): RelayPeer | null {
  const [, given = '', address = ''] = /^(?:([^\s=]{1,253})=)?(\S+)$/.exec(text) ?? [];
  if (!isNodeAddress(address)) return null;
  if (given === '') return { name: address, address, serverName: anyNodeName(cluster) };
  return { name: given, address, serverName: nodeServerName(given, cluster) };
}

/** `unix:///path` or `HOST:PORT`. */
export function isNodeAddress(text: string): boolean {
  return /^unix:\/\/\/[^\s\0]+$/.test(text) || /^[^\s/\0]+:[0-9]{1,5}$/.test(text);
}

export function anyNodeName(cluster: string): string {
  return serverNameOf(ANY_NODE, cluster);
}

/** Of "node" or "cluster/node". */
export function nodeServerName(name: string, cluster: string): string {
  const slash = name.indexOf('/');
  return slash < 0
    ? serverNameOf(name, cluster)
    : serverNameOf(name.slice(slash + 1), name.slice(0, slash));
}
