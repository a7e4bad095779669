/** Parts of a line as text: what was decided, and between whom. */
import type { FlowConnection, FlowDecision, FlowSide } from '../../model/flow.ts';
import { integer, quote, quoteList } from './json_text.ts';

export function decisionText(decision: FlowDecision): string {
  const { reason, layer, rule, half } = decision;
  let text = reason === null ? '' : `,"reason":"${reason}"`;
  text += `,"layer":"${layer}"`;
  if (half !== undefined) text += `,"half":"${half}"`;
  if (rule !== null) text += `,"policy":${quote(rule.policy)},"rule":${quote(rule.rule)}`;
  const other = decision.verdict === 'allow' ? decision.otherRule : null;
  if (other) text += `,"other_policy":${quote(other.policy)},"other_rule":${quote(other.rule)}`;
  return text;
}

export function connectionText(connection: FlowConnection): string {
  const { id, source } = connection;
  return (
    `${textBeforeId(connection)}${integer(id)}` +
    `${textBeforePort(source)}${integer(source.port)}${textAfterPort(connection)}`
  );
}

/** With the two numbers in between this is `connectionText`: only they differ between datagrams of one client. */
export function textBeforeId({ direction, listener, proxyId }: FlowConnection): string {
  return (
    `,"direction":"${direction}","listener":${quote(listener)}` +
    `,"proxy_id":${integer(proxyId)},"connection_id":`
  );
}

export function textBeforePort({ ip }: FlowSide): string {
  return `,"src":{"ip":${quote(ip)},"port":`;
}

export function textAfterPort(connection: FlowConnection): string {
  const { source, destination, endpoint, identitySource } = connection;
  return (
    `${sideEnd(source)},"dst":{"ip":${quote(destination.ip)},"port":${integer(destination.port)}` +
    `${sideEnd(destination)},"endpoint":${quote(endpoint)},"identity_source":"${identitySource}"`
  );
}

function sideEnd({ identity, labels, service }: FlowSide): string {
  let text = '';
  if (service !== null) text += `,"service":${quote(`${service.namespace}/${service.name}`)}`;
  if (identity === null) return `${text}}`;
  return `${text},"identity":${integer(identity)},"labels":${quoteList(labels)}}`;
}
