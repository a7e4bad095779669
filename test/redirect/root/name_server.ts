/**
 * A DNS server in a namespace, by UDP and TCP: it answers every question with one address, or one that the name has, and
 * keeps what it heard.
 */
import type { Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server } from 'node:net';
import { framedMessage, TcpMessages } from '../../../src/codec/dns/tcp_messages.ts';
import { ANSWER_FLAGS, a, message, TO_QUESTION } from '../../support/dns_messages.ts';
import { questionOf } from '../../support/dns_rig.ts';
import type { Netns } from './netns.ts';

const FLAG_TRUNCATED = 0x0200;
const TYPE_A = 1;

export interface HeardQuestion {
  readonly name: string;
  readonly from: string;
  readonly transport: 'udp' | 'tcp';
}

export class NameServer {
  readonly heard: HeardQuestion[] = [];
  readonly #addressOf: (name: string) => string;
  /** By UDP everything is too long. */
  isTruncating = false;
  readonly #open: { close(): void }[] = [];

  constructor(address: string | ((name: string) => string)) {
    this.#addressOf = typeof address === 'string' ? () => address : address;
  }

  async listen(netns: Netns, ip: string): Promise<void> {
    const udp = await netns.udp({ ip, port: 53 });
    udp.on('message', (bytes, from) => {
      this.#hear(bytes, 'udp', from.address);
      this.#answerUdp(udp, bytes, from);
    });
    const tcp: Server = createServer((socket) => {
      const messages = new TcpMessages();
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        messages.push(chunk);
        for (let bytes = messages.next(); bytes !== null; bytes = messages.next()) {
          this.#hear(bytes, 'tcp', socket.remoteAddress ?? '');
          socket.write(framedMessage(this.#answer(bytes, ANSWER_FLAGS)));
        }
      });
    });
    await netns.listen(tcp, { ip, port: 53 });
    this.#open.push(udp, tcp);
  }

  close(): void {
    for (const one of this.#open) one.close();
  }

  #answerUdp(
    udp: UdpSocket,
    bytes: Buffer,
    { port, address }: { readonly port: number; readonly address: string },
  ): void {
    const answer = this.isTruncating
      ? this.#answer(bytes, ANSWER_FLAGS | FLAG_TRUNCATED)
      : this.#answer(bytes, ANSWER_FLAGS);
    udp.send(answer, port, address);
  }

  #hear(bytes: Buffer, transport: 'udp' | 'tcp', from: string): void {
    this.heard.push({ name: nameIn(bytes), transport, from });
  }

  #answer(bytes: Buffer, flags: number): Buffer {
    const asked = questionOf(bytes);
    const isAnswered =
      (flags & FLAG_TRUNCATED) === 0 && asked.readUInt16BE(asked.length - 4) === TYPE_A;
    const answers = isAnswered ? [a(TO_QUESTION, this.#addressOf(nameIn(bytes)))] : [];
    return message({ id: bytes.readUInt16BE(0), flags, questions: [asked], answers });
  }
}

/** In small letters: those that a question has on its way vary by chance. */
function nameIn(bytes: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; (bytes[at] ?? 0) !== 0; at += 1 + (bytes[at] as number))
    labels.push(bytes.toString('latin1', at + 1, at + 1 + (bytes[at] as number)));
  return labels.join('.').toLowerCase();
}
