import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isGrpcType, isGrpcTypeAt } from '../../../src/codec/grpc/content_type.ts';
import { decodeGrpcMessage, encodeGrpcMessage } from '../../../src/codec/grpc/message.ts';
import { grpcStatusIn, grpcStatusOf, parseGrpcStatus } from '../../../src/codec/grpc/status.ts';
import { trailersOnlyFields } from '../../../src/codec/grpc/trailers_only.ts';
import { isFieldValue } from '../../../src/codec/http1/syntax.ts';

describe('a content type is that of gRPC', () => {
  const bytesOf = (value: string): Buffer => Buffer.from(`<${value}>`, 'latin1');

  it.each([
    ['application/grpc', true],
    ['Application/GRPC', true],
    ['application/grpc+proto', true],
    ['application/grpc;charset=x', true],
    ['application/grpc-web', false],
    ['application/grpc-web+proto', false],
    ['application/grpc x', false],
    ['application/grpcx', false],
    ['application/grp', false],
    ['', false],
  ])('%j: %s', (value, isGrpc) => {
    expect(isGrpcType(value)).toBe(isGrpc);
    expect(isGrpcTypeAt(bytesOf(value), 1, 1 + value.length)).toBe(isGrpc);
  });

  it('the same as text and as bytes, whatever it is', () => {
    const text = fc
      .tuple(fc.constantFrom('application/grpc', 'aPPlication/grpc', 'application/'), fc.string())
      .map((parts) => parts.join('').replace(/[^\x00-\xff]/g, ''));
    fc.assert(
      fc.property(text, (value) => {
        const bytes = bytesOf(value);
        expect(isGrpcTypeAt(bytes, 1, bytes.length - 1)).toBe(isGrpcType(value));
      }),
    );
  });
});

describe('grpcStatusOf', () => {
  it.each([
    [400, 13],
    [401, 16],
    [403, 7],
    [404, 12],
    [429, 14],
    [502, 14],
    [503, 14],
    [504, 14],
    [405, 2],
    [500, 2],
    [200, 2],
  ])('HTTP %d is %d', (http, grpc) => expect(grpcStatusOf(http)).toBe(grpc));

  it.each([
    ['0', 0],
    ['16', 16],
    ['', null],
    ['-1', null],
    ['1x', null],
    ['1234', null],
  ])('grpc-status "%s" is %s', (value, status) => expect(parseGrpcStatus(value)).toBe(status));

  it('is found in trailers', () => {
    expect(grpcStatusIn(['x', 'y', 'grpc-status', '5', 'grpc-message', 'm'])).toBe(5);
    expect(grpcStatusIn(['grpc-message', 'grpc-status'])).toBeNull();
  });
});

describe('grpc-message', () => {
  it('carries any text in a valid field value', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const encoded = encodeGrpcMessage(text);
        expect(isFieldValue(encoded)).toBe(true);
        expect(decodeGrpcMessage(encoded)).toBe(Buffer.from(text, 'utf8').toString('utf8'));
      }),
    );
  });

  it.each([
    ['Access denied\r\n', 'Access denied%0D%0A'],
    ['100%', '100%25'],
    ['é', '%C3%A9'],
    [' a ', '%20a%20'],
  ])('%j is %s', (text, encoded) => expect(encodeGrpcMessage(text)).toBe(encoded));

  it('keeps what is no escape', () =>
    expect(decodeGrpcMessage('50%, %4, %zz')).toBe('50%, %4, %zz'));

  it('stands in a trailers-only head', () => {
    const fields = ['content-type', 'application/grpc', 'grpc-status', '7'];
    expect(trailersOnlyFields(7, 'no way')).toEqual([...fields, 'grpc-message', 'no way']);
    expect(trailersOnlyFields(7, '')).toEqual(fields);
  });
});
