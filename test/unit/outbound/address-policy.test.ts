import {
  AddressPolicy,
  ForbiddenUrlError,
  parseOutboundAllow,
} from '../../../src/outbound/address-policy.ts';

const policyOf = (allow: string) => new AddressPolicy(parseOutboundAllow(allow));
const nothingOpened = policyOf('');
const url = (text: string) => new URL(text);

/** Whether a name that resolves to this address may be sent to. */
const permits = (address: string, policy = nothingOpened, to = 'https://example.com/') =>
  policy.permits(address, url(to));

const isAccepted = (text: string, policy = nothingOpened): boolean => {
  try {
    policy.checkUrl(text);
    return true;
  } catch (error) {
    if (error instanceof ForbiddenUrlError) return false;
    throw error;
  }
};

test.each(['8.8.8.8', '1.1.1.1', '93.184.216.34', '2606:4700::1111', '2001:4860:4860::8888'])(
  'the public address %s may be sent to',
  (address) => {
    expect(permits(address)).toBe(true);
  },
);

test.each([
  ['this host', '0.0.0.0'],
  ['loopback', '127.0.0.1'],
  ['loopback, its other end', '127.255.255.254'],
  ['private', '10.0.0.1'],
  ['private', '172.16.0.1'],
  ['private', '172.31.255.255'],
  ['private', '192.168.1.1'],
  ['carrier-grade NAT', '100.64.0.1'],
  ['Alibaba metadata', '100.100.100.200'],
  ['link-local', '169.254.1.1'],
  ['AWS, Google and Azure metadata', '169.254.169.254'],
  ['AWS task metadata', '169.254.170.2'],
  ['Azure wire server', '168.63.129.16'],
  ['Oracle metadata', '192.0.0.192'],
  ['IETF assignments', '192.0.0.1'],
  ['documentation', '192.0.2.1'],
  ['documentation', '198.51.100.1'],
  ['documentation', '203.0.113.1'],
  ['6to4 relays', '192.88.99.1'],
  ['benchmarks', '198.18.0.1'],
  ['multicast', '224.0.0.1'],
  ['reserved', '240.0.0.1'],
  ['broadcast', '255.255.255.255'],
  ['unspecified', '::'],
  ['loopback', '::1'],
  ['IPv4-compatible loopback', '::7f00:1'],
  ['IPv4-mapped loopback', '::ffff:127.0.0.1'],
  ['IPv4-mapped private, in hex', '::ffff:a00:1'],
  ['IPv4-mapped metadata', '::ffff:169.254.169.254'],
  ['NAT64 loopback', '64:ff9b::7f00:1'],
  ['NAT64 metadata', '64:ff9b::a9fe:a9fe'],
  ['local NAT64', '64:ff9b:1::a00:1'],
  ['IPv4-translated', '::ffff:0:127.0.0.1'],
  ['6to4 loopback', '2002:7f00:1::'],
  ['Teredo', '2001::1'],
  ['documentation', '2001:db8::1'],
  ['documentation', '3fff::1'],
  ['AWS metadata', 'fd00:ec2::254'],
  ['Google metadata', 'fd20:ce::254'],
  ['unique local', 'fc00::1'],
  ['link-local', 'fe80::1'],
  ['link-local with a zone', 'fe80::1%eth0'],
  ['site-local', 'fec0::1'],
  ['multicast', 'ff02::1'],
  ['discard', '100::1'],
  ['segment routing', '5f00::1'],
  ['unassigned', '4000::1'],
  ['no address', 'localhost'],
  ['nothing', ''],
])('%s (%s) may not be sent to', (_what, address) => {
  expect(permits(address)).toBe(false);
});

test('a public address behind NAT64 may be sent to', () => {
  expect(permits('64:ff9b::808:808')).toBe(true);
});

test.each([
  'https://127.0.0.1/',
  'https://2130706433/',
  'https://0x7f000001/',
  'https://0x7f.1/',
  'https://0177.0.0.1/',
  'https://127.1/',
  'https://127.0.0.1./',
  'https://①②⑦.⓪.⓪.①/',
  'https://%31%32%37.0.0.1/',
  'https://0/',
  'https://[::1]/',
  'https://[::]/',
  'https://[::ffff:127.0.0.1]/',
  'https://[::ffff:7f00:1]/',
  'https://[::127.0.0.1]/',
  'https://[64:ff9b::7f00:1]/',
  'https://169.254.169.254/latest/meta-data/',
  'https://2852039166/',
  'https://[fd00:ec2::254]/',
  'https://8.8.8.8@127.0.0.1/',
  'https://user:password@example.com/',
  'https://token@example.com/',
  'http://example.com/',
  'http://8.8.8.8/',
  'ftp://example.com/',
  'file:///etc/passwd',
  'gopher://example.com/',
  'javascript:alert(1)',
  'data:text/plain,x',
  'https://',
  'https:///',
  '//example.com/',
  'example.com',
  '',
  'https://example.com:22/',
  'https://example.com:6379/',
  'https://example.com:80/',
  'https://8.8.8.8:25/',
  `https://example.com/${'x'.repeat(2048)}`,
])('the URL %s is refused', (text) => {
  expect([text, isAccepted(text)]).toEqual([text, false]);
});

test.each([
  'https://example.com/hook?token=1',
  'https://example.com:443/',
  'https://example.com:8443/',
  'HTTPS://EXAMPLE.COM/',
  'https://8.8.8.8/',
  'https://[2606:4700::1111]/',
  'https://münchen.example/',
  'https://8.8.8.8\\@127.0.0.1/', // a backslash is a slash: this leads to 8.8.8.8, as we read it and as we send it
])('the URL %s is accepted', (text) => {
  expect(isAccepted(text)).toBe(true);
});

test('a range opens its addresses, at any port, for https', () => {
  const policy = policyOf('10.1.0.0/16, fd00:1::/32');

  expect(permits('10.1.2.3', policy, 'https://hooks.internal:9443/')).toBe(true);
  expect(permits('::ffff:10.1.2.3', policy)).toBe(true);
  expect(permits('fd00:1::5', policy)).toBe(true);
  expect(permits('10.2.0.1', policy)).toBe(false);
  expect(permits('10.1.2.3', policy, 'http://hooks.internal/')).toBe(false);
  expect(isAccepted('https://10.1.2.3:9443/', policy)).toBe(true);
  expect(isAccepted('http://10.1.2.3/', policy)).toBe(false);
});

test('http:// before an entry opens plain http to it, and to nothing else', () => {
  const policy = policyOf('http://127.0.0.0/8,http://[::1]');

  expect(isAccepted('http://127.0.0.1:8999/', policy)).toBe(true);
  expect(isAccepted('http://[::1]:8999/', policy)).toBe(true);
  expect(isAccepted('http://localhost:8999/', policy)).toBe(true); // what it resolves to decides
  expect(permits('127.0.0.1', policy, 'http://localhost:8999/')).toBe(true);
  expect(permits('8.8.8.8', policy, 'http://localhost.example/')).toBe(false);
  expect(permits('10.0.0.1', policy, 'http://localhost.example/')).toBe(false);
});

test('a name opens wherever it leads; a port keeps an entry to that port', () => {
  const policy = policyOf('hooks.internal,*.corp.example:9000,192.168.1.5:7000');

  expect(permits('10.0.0.1', policy, 'https://hooks.internal/')).toBe(true);
  expect(permits('10.0.0.1', policy, 'https://hooks.internal./')).toBe(true);
  expect(permits('10.0.0.1', policy, 'https://nothooks.internal/')).toBe(false);
  expect(permits('10.0.0.1', policy, 'https://a.corp.example:9000/')).toBe(true);
  expect(permits('10.0.0.1', policy, 'https://corp.example:9000/')).toBe(false);
  expect(permits('10.0.0.1', policy, 'https://a.corp.example/')).toBe(false);
  expect(isAccepted('https://192.168.1.5:7000/', policy)).toBe(true);
  expect(isAccepted('https://192.168.1.5/', policy)).toBe(false);
});

test.each([
  '10.0.0.0/33',
  '10.0.0/8',
  'http://0x7f.1',
  'https://',
  'a b',
  '10.0.0.1:99999',
  'x/8',
  '[::1',
  'ftp://x',
])('the entry %s is named as unreadable', (entry) => {
  expect(() => parseOutboundAllow(`127.0.0.1,${entry}`)).toThrow(
    `${entry} is not a host or a range`,
  );
});

test('plain http to a name is taken for this machine only where the name is one of it', () => {
  const policy = new AddressPolicy(parseOutboundAllow('http://127.0.0.0/8,http://[::1]'));
  for (const url of ['http://localhost:9000/', 'http://hooks.localhost/', 'http://127.0.0.1/']) {
    expect(policy.checkGivenUrl(url).href).toBe(url);
  }
  for (const url of ['http://hooks.example.com/', 'http://localhost.example.com/']) {
    expect(() => policy.checkGivenUrl(url)).toThrow('must begin with https://');
  }
  const private10 = new AddressPolicy(parseOutboundAllow('http://10.0.0.0/8'));
  expect(private10.checkGivenUrl('http://hooks.internal/').host).toBe('hooks.internal');
});
