#!/bin/sh
# The last step of the image: users, commands, and nothing that gives anybody rights.
set -eu

# 1337 is the user that Cilium's proxies run as; the redirect's pins are readable for this group.
groupadd --system --gid 1337 sallyport
useradd --system --uid 1337 --gid 1337 --no-create-home --home-dir /nonexistent \
  --shell /usr/sbin/nologin sallyport

ln -s /opt/sallyport/bin/sallyport /usr/local/bin/sallyport
ln -s /opt/sallyport/node_modules/node-linux-*/bin/node /usr/local/bin/node
for command in admin.mjs as-proxy datapath-ready metrics.mjs prepare-node probe; do
  ln -s "/opt/sallyport/libexec/$command" "/usr/local/bin/sallyport-${command%.mjs}"
done

# su, mount and the like: nobody in here becomes another user.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
