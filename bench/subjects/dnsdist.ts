/**
 * dnsdist, one thread for clients and one for answers: what is outside of the zone is refused, each answer is a line of
 * its log. All questions go to the server over one socket, so neither their port nor much of their id is fresh.
 */
import { DNS_ZONE } from './dns_zone.ts';
import { freePort } from './process.ts';
import { HERE, startSubject } from './start.ts';
import type { Order, Subject, SubjectKind } from './subject.ts';
import { isInstalled, versionOf } from './tools.ts';

const NAME = 'dnsdist';

export const DNSDIST: SubjectKind = {
  name: NAME,
  speaks: ['dns'],
  find: async () => {
    if (!isInstalled('dnsdist')) {
      return { name: NAME, why: 'dnsdist is not installed; `npm run bench:peers` tells how' };
    }
    const version = versionOf(['dnsdist', '--version']);
    return { version, start: (order) => startDnsdist(version, order) };
  },
};

async function startDnsdist(version: string, order: Order): Promise<Subject> {
  const port = await freePort();
  return startSubject({
    name: NAME,
    version,
    directory: order.directory,
    files: { 'dnsdist.conf': dnsdistConfig(port, order) },
    command: (pathOf) => ['dnsdist', '--supervised', '-C', pathOf('dnsdist.conf')],
    at: { port },
  });
}

export function dnsdistConfig(port: number, { originUrl, hasAccessLog }: Order): string {
  // What it answers itself goes another way.
  const log = ['addResponseAction', 'addSelfAnsweredResponseAction']
    .map((add) => `${add}(AllRule(), LogResponseAction("${HERE}/access.log", true, true))\n`)
    .join('');
  return `setSecurityPollSuffix("")
setLocal("127.0.0.1:${port}")
setACL("127.0.0.0/8")
newServer({ address = "${new URL(originUrl).host}" }):setUp()
local allowed = newSuffixMatchNode()
allowed:add("${DNS_ZONE}")
addAction(NotRule(SuffixMatchNodeRule(allowed)), RCodeAction(DNSRCode.REFUSED))
${hasAccessLog ? log : ''}`;
}
