"""The script that turns a page's links to wa.me into chats with a token in them. Until a click it stores nothing.

It finds the visitor where the page's SDK keeps it. Whatever goes wrong, the link leads where it led without the script.
"""

from typing import Final

SCRIPT: Final = rb"""(function () {
  'use strict'
  var script = document.currentScript
  var key = script.getAttribute('data-write-key')
  var endpoint = new URL('/v1/handshake', script.src).href
  var WAIT_MS = 2000

  function call(of, name) {
    try { return of && typeof of[name] === 'function' ? of[name]() : undefined } catch (error) { return undefined }
  }
  function stored(name) {
    try {
      var text = localStorage.getItem(name)
      return text && text[0] === '"' ? JSON.parse(text) : text
    } catch (error) { return null }
  }
  function visitor() {
    var user = call(window.analytics, 'user')
    var jitsu = call(window.jitsu, 'user')
    return {
      anonymousId: call(user, 'anonymousId') || call(window.rudderanalytics, 'getAnonymousId') ||
        (jitsu && jitsu.anonymousId) || stored('ajs_anonymous_id') || stored('__anon_id') || own(),
      userId: call(user, 'id') || call(window.rudderanalytics, 'getUserId') || (jitsu && jitsu.userId) || undefined,
      sessionId: call(window.rudderanalytics, 'getSessionId') || undefined
    }
  }
  function own() {
    var id = stored('tally_anonymous_id')
    if (!id) {
      id = Array.from(crypto.getRandomValues(new Uint8Array(16)), function (byte) {
        return (byte + 256).toString(16).slice(1)
      }).join('')
      try { localStorage.setItem('tally_anonymous_id', id) } catch (error) { /* a new one at each click */ }
    }
    return id
  }
  function context() {
    var page = { url: location.href, path: location.pathname, title: document.title, referrer: document.referrer }
    var query = new URLSearchParams(location.search), campaign = {}
    ;[['source', 'source'], ['medium', 'medium'], ['campaign', 'name'], ['term', 'term'], ['content', 'content']]
      .forEach(function (pair) { var of = query.get('utm_' + pair[0]); if (of) campaign[pair[1]] = of })
    var known = { page: page, userAgent: navigator.userAgent, library: { name: 'tally-whatsapp.js' } }
    if (Object.keys(campaign).length) known.campaign = campaign
    return known
  }
  function mint(number, text) {
    var wish = visitor()
    wish.writeKey = key
    wish.phoneNumberId = number || undefined
    wish.text = text || undefined
    wish.context = context()
    var stop = new AbortController()
    var timer = setTimeout(function () { stop.abort() }, WAIT_MS)
    return fetch(endpoint, {
      method: 'POST', body: JSON.stringify(wish), headers: { 'Content-Type': 'text/plain' }, signal: stop.signal
    }).then(function (answer) {
      clearTimeout(timer)
      if (!answer.ok) throw new Error('handshake: ' + answer.status)
      return answer.json()
    })
  }
  window.tallyWhatsApp = mint

  document.addEventListener('click', function (event) {
    var link = event.target.closest && event.target.closest('a[href^="https://wa.me/"]')
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return
    var url = new URL(link.href)
    event.preventDefault()
    // Opened at once: a browser lets no window open later than the click.
    var target = link.target === '_blank' ? window.open('', '_blank') : window
    function go(href) { (target || window).location.href = href }
    mint(url.pathname.slice(1), url.searchParams.get('text'))
      .then(function (minted) { go(minted.url) }, function () { go(link.href) })
  })
})()
"""
